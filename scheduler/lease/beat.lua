-- SPDX-License-Identifier: Apache-2.0
-- A member shows that it lives, and sees who is there.
-- KEYS: 1 daemons, 2 layout
-- ARGV: 1 our instance, 2 name of our process, 3 our record, "": do not write it,
--       4 "1": the first of this process, 5 the layout that we write
-- Result: instances and records, flat. FENCED when another process has our instance.
-- PRECONDITION when the records are of a later layout.
local layout, ours = tonumber(redis.call('GET', KEYS[2]) or 0), tonumber(ARGV[5])
if layout > ours then
    return redis.error_reply(string.format(
        'PRECONDITION layout: a newer rondod writes to this Redis (layout %d), and this one knows layouts up to %d; start the newer rondod here as well',
        layout, ours))
end
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and ARGV[4] ~= '1' then
    local ok, record = pcall(cjson.decode, held)
    if ok and type(record) == 'table' and record.boot ~= ARGV[2] then
        return redis.error_reply('FENCED another process runs as instance ' .. ARGV[1])
    end
end
if layout < ours then
    redis.call('SET', KEYS[2], ARGV[5])
end
if ARGV[3] ~= '' then
    redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return redis.call('HGETALL', KEYS[1])
