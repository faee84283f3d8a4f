# SPDX-License-Identifier: Apache-2.0
"""The same line protocol as cron_driver.c, answered by croniter, and by dateutil where it is a rule."""

import json
import signal
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

from croniter import croniter
from dateutil.rrule import rrulestr


def too_long(_signal, _frame):
    raise TimeoutError


def answer_rule(asked, start):
    rule = rrulestr(asked["cron"].replace(" ", "\n"), cache=True)
    found = []
    signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, 0.5)  # it searches to the year 9999 for what never comes
    for _ in range(asked["n"]):
        start = rule.after(start)
        if start is None:
            break
        found.append(int(start.timestamp()))
    signal.setitimer(signal.ITIMER_REAL, 0)
    return found


def answer(asked):
    start = datetime.fromisoformat(asked["from"].replace("Z", "+00:00")).astimezone(ZoneInfo(asked["time_zone"]))
    if "RRULE" in asked["cron"]:
        return answer_rule(asked, start)
    fields = asked["cron"].split()
    steps = croniter(asked["cron"], start, second_at_beginning=len(fields) > 5)
    return [int(steps.get_next(datetime).timestamp()) for _ in range(asked["n"])]


for line in sys.stdin:
    try:
        out = answer(json.loads(line))
    except Exception as e:
        out = f"{type(e).__name__}: {e}"
    print(json.dumps(out), flush=True)
