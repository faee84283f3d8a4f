// SPDX-License-Identifier: Apache-2.0
// The same line protocol as tests/differential/cron_driver.c, answered by croner.
import { createInterface } from "node:readline";
import { Cron } from "croner";

for await (const line of createInterface({ input: process.stdin })) {
  const { cron, time_zone, from, n } = JSON.parse(line);
  let out;
  try {
    // Its other rule has lists and ranges be intervals at clock changes.
    const job = new Cron(cron, { timezone: time_zone, paused: true, fixedTimeRule: "no-wildcard" });
    out = job.nextRuns(n, new Date(from)).map((date) => date.getTime() / 1000);
  } catch (e) {
    out = String(e.message ?? e);
  }
  console.log(JSON.stringify(out));
}
