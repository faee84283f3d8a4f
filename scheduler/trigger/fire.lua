-- SPDX-License-Identifier: Apache-2.0
-- Fire a recurring run because somebody asks for it; its progress stays as it is. The same run id again
-- changes nothing.
-- KEYS: 1 epoch, 2 progress, 3 born, 4 run:<run id>, 5 events
-- ARGV: 1 the epoch that we hold or 0, 2 id, 3 runs that may be active (0: any number), 4 run id,
--       5 the run to be (born.lua.in), 6 event, 7 how far the daemon's clock was moved (us; tests)
-- Result: {1 fired | 2 it was there | 3 as many as may be are active, active}. NOSUCH.
--@include ../base/knock.lua.in
--@include ../base/clock.lua.in
--@include ahead.lua.in
local call = redis.call
local id = ARGV[2]
local was = call('HMGET', KEYS[2], id, id .. ':active')
local active = tonumber(was[2] or 0)
if not was[1] then
    return redis.error_reply('NOSUCH recurring run ' .. id .. ' does not exist')
end
if call('HEXISTS', KEYS[3], ARGV[4]) == 1 or call('EXISTS', KEYS[4]) == 1 then
    if call('GET', KEYS[1]) ~= ARGV[1] then
        knock(KEYS[1], 'run ' .. ARGV[4]) -- whoever fired it may have died before telling of it
    end
    return {2, active}
end
local limit = tonumber(ARGV[3])
local prefix = KEYS[2]:match('^(.*)progress$')
local ahead = ahead_of(prefix, id, was[1], ARGV[7])
if ahead then
    active = active - 1
end
if limit > 0 and active >= limit then
    return {3, active}
end
if ahead then -- this run comes before a tick whose instant has not come, and may leave it no place
    ahead_take_back(prefix, id, ahead)
end
if call('GET', KEYS[1]) ~= ARGV[1] then
    knock(KEYS[1], 'run ' .. ARGV[4])
end
call('HSET', KEYS[2], id .. ':active', active + 1)
call('HSET', KEYS[3], ARGV[4], ARGV[5])
call('XADD', KEYS[5], '*', 'e', ARGV[6])
return {1, active + 1}
