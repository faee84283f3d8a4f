// SPDX-License-Identifier: Apache-2.0
// croner: ns of one nextRun(), for lines "name\tcron\tzone" on standard input; "-" for what it does not know.
//     node croner.mjs FOLDER_WITH_NODE_MODULES

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { Cron } = createRequire(process.argv[2] + "/")("croner");
const from = new Date(1767225600 * 1000), until = new Date(4000000000 * 1000);

for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
    const [name, cron, timezone] = line.split("\t");
    let job;
    try {
        job = new Cron(cron, { timezone, paused: true });
        job.nextRun(from);
    } catch {
        console.log(`${name}\t-`);
        continue;
    }
    let at = from, calls = 0;
    const began = process.hrtime.bigint();
    for (; calls % 64 || process.hrtime.bigint() - began < 150_000_000n; calls++) {
        at = job.nextRun(at);
        if (!at || at > until) at = from;
    }
    console.log(`${name}\t${(Number(process.hrtime.bigint() - began) / calls).toFixed(1)}`);
}
