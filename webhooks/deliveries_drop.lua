-- SPDX-License-Identifier: Apache-2.0
-- A subscription was deleted: drop what it has in this shard.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  subscription id
-- Pending deliveries that are not in the log are dropped by the sender when they come due.
local p = ARGV[1]
local log = p .. 'subscription:' .. ARGV[2] .. ':log'
for _, id in ipairs(redis.call('ZRANGE', log, 0, -1)) do
    redis.call('DEL', p .. 'delivery:' .. id)
    redis.call('ZREM', p .. 'deliveries', id)
end
return redis.call('DEL', log)
