-- SPDX-License-Identifier: Apache-2.0
-- Archive all runs of an experiment that live in one shard.
-- KEYS: 1 experiment:<id>:runs
-- ARGV: 1 key prefix of the shard
-- Result: how many there are.
local ids = redis.call('ZRANGE', KEYS[1], 0, -1)
for _, id in ipairs(ids) do
    local key = ARGV[1] .. 'run:' .. id
    if redis.call('EXISTS', key) == 1 then
        redis.call('HSET', key, 'storage', 'ARCHIVED')
    end
end
return #ids
