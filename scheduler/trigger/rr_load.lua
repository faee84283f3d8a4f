-- SPDX-License-Identifier: Apache-2.0
-- Read recurring runs of one shard.
-- KEYS: 1 progress, then rr:<id> of each
-- ARGV: 1 "1" as they are, "0" as if nothing had been claimed ahead, 2 how far the daemon's clock was moved (us;
--       tests), then the ids
-- Result: for each {doc, progress, active, waiting, fails}, nil for what is not there; doc is nil for a
--         recurring run that is gone, and "" for a key of another kind.
--@include ../base/clock.lua.in
--@include ahead.lua.in
local out, fields = {}, {}
local ids = {unpack(ARGV, 3)}
local prefix = KEYS[1]:match('^(.*)progress$')
local is_any_ahead = ARGV[1] == '0' and redis.call('EXISTS', prefix .. 'ahead') == 1
for i, id in ipairs(ids) do
    fields[4 * i - 3] = id
    fields[4 * i - 2] = id .. ':active'
    fields[4 * i - 1] = id .. ':waiting'
    fields[4 * i] = id .. ':fails'
end
local rest = redis.call('HMGET', KEYS[1], unpack(fields))
for i, id in ipairs(ids) do
    local doc = redis.pcall('GET', KEYS[1 + i])
    if type(doc) == 'table' then
        doc = ''
    end
    local progress, active = rest[4 * i - 3], rest[4 * i - 2]
    local ahead = is_any_ahead and progress and ahead_of(prefix, id, progress, ARGV[2])
    if ahead then
        progress, active = ahead.before, active - 1
    end
    out[i] = {doc, progress, active, rest[4 * i - 1], rest[4 * i]}
end
return out
