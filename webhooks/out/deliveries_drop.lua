-- SPDX-License-Identifier: Apache-2.0
-- A subscription was deleted: drop what it has in this shard.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  subscription id
-- Result: 1 if there was something.
local p, sub = ARGV[1], ARGV[2]
--@include delivery.lua.in
local found = 0
for _, key in ipairs({log_of(sub), pending_of(sub), parked_of(sub)}) do
    for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
        local v = redis.call('HMGET', key_of(id), 'line', 'run')
        if v[1] then redis.call('DEL', line_of(sub .. ':' .. v[2]), p .. 'sequence:' .. sub .. ':' .. v[2]) end
        forget(id, '0')
        found = 1
    end
    redis.call('DEL', key)
end
redis.call('SREM', p .. 'parked', sub)
return found
