-- SPDX-License-Identifier: Apache-2.0
-- Create a run. The same id again changes nothing and gives the run that is there.
-- KEYS: 1 epoch, 2 run:<id>, 3 runs, 4 live, 5 experiment:<id>:runs, 6 events
-- ARGV: 1 the epoch that we hold or 0, 2 id, 3 doc, 4 created_us, 5 scheduled_us, 6 history,
--   7 event
-- Result: the run's fields and values, flat.
--@include ../base/knock.lua.in
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    knock(KEYS[1], 'run ' .. ARGV[2])
end
if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('HSET', KEYS[2], 'v', 1, 'doc', ARGV[3], 'rr', '', 'state', 'PENDING',
        'created_us', ARGV[4], 'scheduled_us', ARGV[5], 'history', ARGV[6],
        'storage', 'AVAILABLE')
    redis.call('ZADD', KEYS[3], ARGV[4], ARGV[2])
    redis.call('ZADD', KEYS[4], ARGV[4], ARGV[2])
    redis.call('ZADD', KEYS[5], ARGV[4], ARGV[2])
    redis.call('XADD', KEYS[6], '*', 'e', ARGV[7])
end
return redis.call('HGETALL', KEYS[2])
