-- SPDX-License-Identifier: Apache-2.0
-- A second has come: what was claimed ahead for it happens, all at once and whatever its number: the group is
-- born as it stands ready, and one entry of the events tells of it; Redis copies the group for that, and no
-- text of a run comes in here, where each byte would cost. When another second has gone by since,
-- because no daemon or no Redis was there, other ticks may have become due and what is to become of these is a
-- matter of policy: they are taken back, a part with each call, to be decided as all that is late. Again it
-- changes nothing.
-- KEYS: 1 epoch, 2 ahead, 3 ahead:<at>:undo, 4 ahead:<at>:undone, 5 born:<at>, 6 births, 7 events,
--       8 told
-- ARGV: 1 epoch, 2 how far the daemon's clock was moved (us; tests), 3 at (us), 4 key prefix
-- Result: {Redis's clock in us, how many ticks fired or -1 not yet by Redis's clock or -2 call again or -3 there
--       is no such group (any more), recurring runs whose tick was taken back, ...}. FENCED.
--@include ../base/clock.lua.in
--@include ahead.lua.in
local call = redis.call
if call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
local PART = 200
local clock = clock_us(ARGV[2])
local out = {string.format('%.0f', clock), 0}
local late = clock - tonumber(ARGV[3])
if late < 0 then
    out[2] = -1
    return out
end
if not call('ZSCORE', KEYS[2], ARGV[3]) then
    out[2] = -3
    return out
end
if late >= AHEAD_STANDS then
    local cursor, some = '0', nil
    repeat
        local answer = call('HSCAN', KEYS[3], cursor, 'COUNT', PART)
        cursor, some = answer[1], answer[2]
    until #some > 0 or cursor == '0'
    for i = 1, #some, 2 do
        local id = some[i]
        local there = call('HGET', ARGV[4] .. 'progress', id)
        local tick = there and ahead_read(ARGV[3], some[i + 1], there)
        if tick then
            ahead_take_back(ARGV[4], id, tick)
            out[#out + 1] = id
        else
            call('HDEL', KEYS[3], id) -- its next tick has been claimed: this one stands
        end
    end
    if #some > 0 then
        out[2] = -2
        return out
    end
end
local count = call('HLEN', KEYS[5])
if count > 0 then
    local entry = call('XADD', KEYS[7], '*', 'came', out[1])
    call('COPY', KEYS[5], KEYS[8] .. ':' .. entry)
    call('HSET', KEYS[8], entry, ARGV[3])
    call('HSET', KEYS[6], ARGV[3], out[1])
end
out[2] = count
for _, id in ipairs(call('SMEMBERS', KEYS[4])) do
    out[#out + 1] = id
end
call('ZREM', KEYS[2], ARGV[3])
call('UNLINK', KEYS[3], KEYS[4])
return out
