# SPDX-License-Identifier: Apache-2.0
"""APScheduler 3 with jobs in memory (a fire is handed over when its function has run; not durable),
or in Redis (when it is in a list of Redis).

Tuned: no misfire grace, no coalescing, an interval trigger instead of the slower cron trigger."""

import datetime
import json
import struct
import sys
import threading
import time

from apscheduler.events import EVENT_JOB_EXECUTED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

cfg = json.loads(sys.argv[1])
rows = []


def noop():
    pass


def trigger(n):
    if cfg["at_ms"] or n >= cfg["n"]:
        at = cfg["at_ms"] / 1000 if n < cfg["n"] else time.time() + 1e7
        return DateTrigger(datetime.datetime.fromtimestamp(at, datetime.timezone.utc))
    return IntervalTrigger(seconds=1, timezone="UTC",
                           start_date=datetime.datetime.fromtimestamp(int(time.time()), datetime.timezone.utc))


scheduler = BackgroundScheduler(
    timezone="UTC", executors={"default": ThreadPoolExecutor(20)},
    job_defaults={"coalesce": False, "misfire_grace_time": None, "max_instances": 1000})
if cfg["kind"] == "apscheduler-redis":
    import redis
    scheduler.add_jobstore("redis", host="127.0.0.1", port=cfg["redis_port"])
    client = redis.Redis(port=cfg["redis_port"])

    def executed(event):
        client.rpush("t", json.dumps({"tick60": [int(event.job_id), round(
            event.scheduled_run_time.timestamp() * 1000), time.time_ns() // 1000]}))
else:
    def executed(event):
        rows.append((int(event.job_id), event.scheduled_run_time, time.time_ns() // 1000))


def write_out():
    with open(cfg["out"], "ab", buffering=0) as out:
        while True:
            time.sleep(0.1)
            count = len(rows)
            out.write(b"".join(struct.pack("<Iqq", n, round(at.timestamp() * 1000), us)
                               for n, at, us in rows[:count]))
            del rows[:count]


scheduler.add_listener(executed, EVENT_JOB_EXECUTED)
if not cfg["resume"]:
    if cfg["kind"] == "apscheduler-redis":
        scheduler.start(paused=True)
    for number in range(cfg["n"] + cfg["idle"]):
        scheduler.add_job(noop, trigger(number), id=str(number))
    if cfg["kind"] == "apscheduler-redis":
        scheduler.resume()
if not scheduler.running:
    scheduler.start()
threading.Thread(target=write_out, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
