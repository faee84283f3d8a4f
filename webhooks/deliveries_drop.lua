-- SPDX-License-Identifier: Apache-2.0
-- A subscription was deleted: drop what it has in this shard.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  subscription id
-- Pending deliveries that are in neither list are dropped by the sender when they come due.
-- Result: 1 if there was something.
local p, found = ARGV[1], 0
for _, list in ipairs({'log', 'parked'}) do
    local key = p .. 'subscription:' .. ARGV[2] .. ':' .. list
    for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
        redis.call('DEL', p .. 'delivery:' .. id)
        redis.call('ZREM', p .. 'deliveries', id)
    end
    found = math.max(found, redis.call('DEL', key))
end
redis.call('SREM', p .. 'parked', ARGV[2])
return found
