# SPDX-License-Identifier: Apache-2.0
"""Celery beat and RedBeat. A fire is handed over when its message is in the broker's list; it is
stamped just before it is pushed, in their favour.

Tuned: loop interval of a second; RedBeat has no lock when it is alone, and else one of five
seconds, so that another one takes over soon; no results; the schedule of RedBeat is its
rrule, that of beat one aligned to whole seconds (its own interval drifts)."""

import datetime
import json
import sys
import time

import celery
import celery.beat
import celery.schedules

cfg = json.loads(sys.argv[1])
url = f"redis://127.0.0.1:{cfg['redis_port']}/0"
app = celery.Celery("tick60", broker=url)
app.conf.update(
    redbeat_redis_url=url, redbeat_lock_timeout=5, beat_max_loop_interval=1, task_ignore_result=True,
    broker_connection_retry_on_startup=True, worker_hijack_root_logger=False, timezone="UTC",
    **({"redbeat_lock_key": None} if cfg["alone"] else {}),
    redbeat_redis_options={"retry_period": 30, "socket_timeout": 5})


@app.task(name="t")
def task():
    pass


class EverySecond(celery.schedules.schedule):
    """Due at each whole second after the last run."""

    def __init__(self):
        super().__init__(1.0)

    def __reduce__(self):
        return EverySecond, ()

    def is_due(self, last_run_at):
        now, due = self.now().timestamp(), int(last_run_at.timestamp()) + 1
        if now >= due:
            return celery.schedules.schedstate(True, int(now) + 1 - now)
        return celery.schedules.schedstate(False, due - now)


def stamped(base):
    class Scheduler(base):
        def apply_async(self, entry, producer=None, advance=True, **kwargs):
            last = entry.last_run_at
            nominal = cfg.get("at_ms") or ((int(last.timestamp()) + 1) * 1000 if last else 0)
            options = entry.options
            entry.options = {**options, "headers": {"tick60": [int(entry.name), nominal, time.time_ns() // 1000]}}
            try:
                return super().apply_async(entry, producer=producer, advance=advance, **kwargs)
            finally:
                entry.options = options  # an entry that differs makes beat build its heap anew
    return Scheduler


def start(base, **options):
    print("ready", flush=True)
    celery.beat.Service(app, scheduler_cls=stamped(base), max_interval=1, **options).start()


if cfg["kind"] == "beat":
    app.conf.beat_schedule = {str(n): {"task": "t", "schedule": EverySecond()} for n in range(cfg["n"])}
    start(celery.beat.PersistentScheduler, schedule_filename=cfg["out"] + ".beat")
else:
    from redbeat import RedBeatSchedulerEntry
    from redbeat.schedulers import RedBeatScheduler
    from redbeat.schedules import rrule
    if cfg["mode"] == "setup":
        now = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
        for n in range(cfg["n"]):
            entry = RedBeatSchedulerEntry(str(n), "t", rrule("SECONDLY", dtstart=now), app=app)
            entry.last_run_at = now
            entry.save()
    else:
        start(RedBeatScheduler)
