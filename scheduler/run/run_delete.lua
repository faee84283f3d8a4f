-- SPDX-License-Identifier: Apache-2.0
-- Forget a run that has ended: its record, its tasks, and its place in every index.
-- KEYS: 1 epoch, 2 run:<id>, 3 run:<id>:tasks, 4 runs, 5 finished, 6 live, 7 expiry,
--       8 experiment:<id>:runs, 9 rr:<id>:runs (only for a recurring run's)
-- ARGV: 1 epoch, 2 id
-- Result: 1 deleted, 0 it was gone. FENCED, PRECONDITION while it is live.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
local state = redis.call('HGET', KEYS[2], 'state')
if state == 'PENDING' or state == 'RUNNING' or state == 'CANCELING' then
    return redis.error_reply('PRECONDITION run ' .. ARGV[2] .. ' is ' .. state ..
        '; terminate it and wait for its end before deleting it')
end
local gone = redis.call('DEL', KEYS[2])
redis.call('DEL', KEYS[3])
for i = 4, 9 do
    if KEYS[i] then
        redis.call('ZREM', KEYS[i], ARGV[2])
    end
end
return gone
