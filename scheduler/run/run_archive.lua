-- SPDX-License-Identifier: Apache-2.0
-- Archive all runs of an experiment that live in one shard.
-- KEYS: 1 epoch, 2 experiment:<id>:runs
-- ARGV: 1 epoch, 2 key prefix of the shard
-- Result: how many there are. FENCED.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
local ids = redis.call('ZRANGE', KEYS[2], 0, -1)
for _, id in ipairs(ids) do
    local key = ARGV[2] .. 'run:' .. id
    if redis.call('EXISTS', key) == 1 then
        redis.call('HSET', key, 'storage', 'ARCHIVED')
    end
end
return #ids
