-- SPDX-License-Identifier: Apache-2.0
-- What other daemons have changed in a shard of ours.
-- KEYS: 1 epoch, 2 knocks:ids
-- ARGV: 1 the epoch that we hold
-- Result: "run <id>" or "recurring <id>" of each, oldest first. FENCED.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
local ids = redis.call('LRANGE', KEYS[2], 0, -1)
redis.call('DEL', KEYS[2])
return ids
