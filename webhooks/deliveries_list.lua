-- SPDX-License-Identifier: Apache-2.0
-- Deliveries of one subscription in this shard, newest first.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  subscription id  ARGV[3]  at most
-- Result: [{id, fields in the order below}]. Those never tried are found in `deliveries` or `parked`.
local p, out, seen = ARGV[1], {}, {}
local function add(id)
    if seen[id] then return end
    seen[id] = true
    local key = p .. 'delivery:' .. id
    local v = redis.call('HMGET', key, 'subscription', 'event', 'type', 'state', 'attempts', 'created_us', 'next_us',
        'status', 'error', 'duration_ms')
    if v[1] == ARGV[2] then
        local row = {id}
        for i = 2, 10 do row[i] = v[i] or '' end
        out[#out + 1] = row
    end
end
for _, id in ipairs(redis.call('ZRANGE', p .. 'deliveries', 0, tonumber(ARGV[3]) - 1)) do add(id) end
for _, id in ipairs(redis.call('ZRANGE', p .. 'subscription:' .. ARGV[2] .. ':parked', 0, tonumber(ARGV[3]) - 1)) do
    add(id)
end
for _, id in ipairs(redis.call('ZRANGE', p .. 'subscription:' .. ARGV[2] .. ':log', 0, tonumber(ARGV[3]) - 1, 'REV')) do
    add(id)
end
return out
