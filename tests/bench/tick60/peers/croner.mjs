// SPDX-License-Identifier: Apache-2.0
// croner: timers in one process, nothing is durable. A fire is handed over when its function runs.
import {createRequire} from 'node:module';
import {appendFileSync} from 'node:fs';
const require = createRequire(process.env.TICK60_BUILD + '/node/');
const {Cron} = require('croner');

const cfg = JSON.parse(process.argv[2]);
let rows = Buffer.allocUnsafe(1 << 20), used = 0;
const now = () => performance.timeOrigin + performance.now();

function put(id, nominal) {
  if (used + 20 > rows.length) {
    rows = Buffer.concat([rows], rows.length * 2);
  }
  rows.writeUInt32LE(id, used);
  rows.writeBigInt64LE(BigInt(nominal), used + 4);
  rows.writeBigInt64LE(BigInt(Math.round(now() * 1000)), used + 12);
  used += 20;
}
setInterval(() => {
  if (used) {
    appendFileSync(cfg.out, rows.subarray(0, used));
    used = 0;
  }
}, 100);

function add(id, cron) {
  let next;
  const job = new Cron(cron, {timezone: 'UTC'}, () => {
    put(id, next.getTime());
    next = job.nextRun();
  });
  next = job.nextRun();
  return job;
}
const jobs = [];
for (let i = 0; i < cfg.n + cfg.idle; i++) {
  jobs.push(add(i, i < cfg.n ? cfg.cron : '0 0 0 1 1 *'));
}
console.log('ready');
if (cfg.edits) {
  let edit = 0;
  setInterval(() => {
    for (let i = 0; i < cfg.edits / 50; i++, edit++) {
      const id = edit % cfg.n;
      jobs[id].stop();
      jobs[id] = add(id, Math.floor(edit / cfg.n) % 2 ? cfg.cron : '*/1 * * * * *');
    }
  }, 20);
}
