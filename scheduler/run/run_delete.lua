-- SPDX-License-Identifier: Apache-2.0
-- Forget a run that has ended: its record, its tasks, and its place in every index.
-- KEYS: 1 run:<id>, 2 run:<id>:tasks, 3 runs, 4 finished, 5 live, 6 expiry,
--       7 experiment:<id>:runs, 8 rr:<id>:runs (only for a recurring run's)
-- ARGV: 1 id
-- Result: 1 deleted, 0 it was gone. PRECONDITION while it is live.
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'PENDING' or state == 'RUNNING' or state == 'CANCELING' then
    return redis.error_reply('PRECONDITION run ' .. ARGV[1] .. ' is ' .. state ..
        '; terminate it and wait for its end before deleting it')
end
local gone = redis.call('DEL', KEYS[1])
redis.call('DEL', KEYS[2])
for i = 3, 8 do
    if KEYS[i] then
        redis.call('ZREM', KEYS[i], ARGV[1])
    end
end
return gone
