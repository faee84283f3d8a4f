# SPDX-License-Identifier: Apache-2.0
"""The same line protocol as cron_driver.c, answered by croniter."""

import json
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

from croniter import croniter


def answer(asked):
    start = datetime.fromisoformat(asked["from"].replace("Z", "+00:00")).astimezone(ZoneInfo(asked["time_zone"]))
    fields = asked["cron"].split()
    steps = croniter(asked["cron"], start, second_at_beginning=len(fields) > 5)
    return [int(steps.get_next(datetime).timestamp()) for _ in range(asked["n"])]


for line in sys.stdin:
    try:
        out = answer(json.loads(line))
    except Exception as e:
        out = f"{type(e).__name__}: {e}"
    print(json.dumps(out), flush=True)
