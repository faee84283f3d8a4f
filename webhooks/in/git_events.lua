-- SPDX-License-Identifier: Apache-2.0
-- The newest events of a trigger, without their payloads; its counts, and the last that were refused.
-- ARGV: 1 the shard's key prefix, 2 trigger, 3 how many events
-- Result: {counts flat, refused, {id, fields and values flat}, ...}.
local p, trigger = ARGV[1], ARGV[2]
local out = {redis.call('HGETALL', p .. 'git:' .. trigger .. ':counts'),
    redis.call('LRANGE', p .. 'git:' .. trigger .. ':refused', 0, -1)}
for _, id in ipairs(redis.call('ZREVRANGE', p .. 'git:' .. trigger .. ':events', 0, ARGV[3] - 1)) do
    local fields = redis.call('HGETALL', p .. 'git_event:' .. trigger .. ':' .. id)
    local flat = {}
    for i = 1, #fields, 2 do
        if fields[i] ~= 'payload' and fields[i] ~= 'headers' then
            flat[#flat + 1] = fields[i]
            flat[#flat + 1] = fields[i + 1]
        end
    end
    out[#out + 1] = {id, flat}
end
return out
