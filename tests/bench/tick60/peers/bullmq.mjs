// SPDX-License-Identifier: Apache-2.0
// BullMQ job schedulers. A fire is handed over when its job is in Redis's list of waiting jobs.
// Tuned: one worker with concurrency 300, jobs removed when done, automatic pipelining.
import {createRequire} from 'node:module';
const require = createRequire(process.env.TICK60_BUILD + '/node/');
const {Queue, Worker} = require('bullmq');
const {Redis} = require('ioredis');

const cfg = JSON.parse(process.argv[2]);
const connection = new Redis({
  port: cfg.redis_port, host: '127.0.0.1', maxRetriesPerRequest: null, enableAutoPipelining: true,
  retryStrategy: () => 100,
});
connection.on('error', () => {});
const queue = new Queue('t', {connection});
queue.on('error', () => {});
const opts = {removeOnComplete: true, removeOnFail: true};
const upsert = (id, pattern) =>
  queue.upsertJobScheduler(String(id), {pattern, tz: 'UTC'}, {name: 't', data: {}, opts});

if (cfg.mode === 'setup') {
  for (let from = 0; from < cfg.n + cfg.idle; from += 500) {
    const part = [];
    for (let i = from; i < Math.min(cfg.n + cfg.idle, from + 500); i++) {
      part.push(upsert(i, i < cfg.n ? cfg.cron : '0 0 0 1 1 *'));
    }
    await Promise.all(part);
  }
  process.exit(0);
}
const worker = new Worker('t', async () => {}, {
  connection: connection.duplicate({enableAutoPipelining: false}), concurrency: 300, ...opts,
});
worker.on('error', () => {});
await worker.waitUntilReady();
console.log('ready');
if (cfg.edits) {
  let edit = 0;
  setInterval(() => {
    for (let i = 0; i < cfg.edits / 50; i++, edit++) {
      upsert(edit % cfg.n, Math.floor(edit / cfg.n) % 2 ? cfg.cron : '*/1 * * * * *').catch(() => {});
    }
  }, 20);
}
