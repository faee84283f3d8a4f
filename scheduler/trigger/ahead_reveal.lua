-- SPDX-License-Identifier: Apache-2.0
-- A second has come: what was claimed ahead for it happens, all at once. Its runs are born as they stand ready
-- and told of in the events, so this costs little for each of them. Again it changes nothing.
-- KEYS: 1 epoch, 2 ahead, 3 ahead:<at>:undo, 4 ahead:<at>:undone, 5 born:<at>, 6 births, 7 events
-- ARGV: 1 epoch, 2 how far the daemon's clock was moved (us; tests), 3 at (us)
-- Result: {Redis's clock in us, how many ticks, -1 not yet by Redis's clock, recurring runs whose tick was taken
--       back, ...}. FENCED.
local call = redis.call
if call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
local time = call('TIME')
local clock = tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[2])
local out = {string.format('%.0f', clock), 0}
if clock < tonumber(ARGV[3]) then
    out[2] = -1
    return out
end
if call('ZREM', KEYS[2], ARGV[3]) == 0 then
    return out
end
-- As many runs to an entry as a claim has.
local ENTRY = 2 * 100
local born = call('HGETALL', KEYS[5])
for first = 1, #born, ENTRY do
    call('XADD', KEYS[7], '*', 'at', out[1], unpack(born, first, math.min(first + ENTRY - 1, #born)))
end
out[2] = #born / 2
for _, id in ipairs(call('SMEMBERS', KEYS[4])) do
    out[#out + 1] = id
end
if #born > 0 then
    call('HSET', KEYS[6], ARGV[3], out[1])
end
call('UNLINK', KEYS[3], KEYS[4])
return out
