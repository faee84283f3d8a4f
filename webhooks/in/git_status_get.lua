-- SPDX-License-Identifier: Apache-2.0
-- A status that is due, and its run.
-- KEYS: 1 git_status:<id>, 2 run:<id>
-- Result: {fields of the first flat, state, created_us, started_us, finished_us, error}.
local run = redis.call('HMGET', KEYS[2], 'state', 'created_us', 'started_us', 'finished_us', 'error')
local out = {redis.call('HGETALL', KEYS[1])}
for i = 1, 5 do
    out[i + 1] = run[i] or ''
end
return out
