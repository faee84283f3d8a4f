-- SPDX-License-Identifier: Apache-2.0
-- Read recurring runs of one shard.
-- KEYS: 1 progress, then rr:<id> of each
-- ARGV: the ids
-- Result: for each {doc, progress, active, waiting, fails}, nil for what is not there; doc is nil for a
--         recurring run that is gone, and "" for a key of another kind.
local out, fields = {}, {}
for i, id in ipairs(ARGV) do
    fields[4 * i - 3] = id
    fields[4 * i - 2] = id .. ':active'
    fields[4 * i - 1] = id .. ':waiting'
    fields[4 * i] = id .. ':fails'
end
local rest = redis.call('HMGET', KEYS[1], unpack(fields))
for i = 1, #ARGV do
    local doc = redis.pcall('GET', KEYS[1 + i])
    if type(doc) == 'table' then
        doc = ''
    end
    out[i] = {doc, rest[4 * i - 3], rest[4 * i - 2], rest[4 * i - 1], rest[4 * i]}
end
return out
