-- SPDX-License-Identifier: Apache-2.0
-- Delete a recurring run. Its runs stay, and with them their index rr:<id>:runs, which empties
-- as they are deleted.
-- KEYS: 1 epoch, 2 rr:<id>, 3 rrs, 4 due, 5 rr_counts, 6 progress, 7 rr:<id>:ticks
-- ARGV: 1 the epoch that we hold or 0, 2 id, 3 how far the daemon's clock was moved (us; tests)
-- Result: 1 it was enabled, 0 it was not. NOSUCH.
--@include ../base/knock.lua.in
--@include ../base/clock.lua.in
--@include ahead.lua.in
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    knock(KEYS[1], 'recurring ' .. ARGV[2])
end
local id = ARGV[2]
local progress = redis.call('HGET', KEYS[6], id)
if not progress then
    return redis.error_reply('NOSUCH recurring run ' .. id .. ' does not exist')
end
local prefix = KEYS[6]:match('^(.*)progress$')
local ahead = ahead_of(prefix, id, progress, ARGV[3])
if ahead then
    ahead_take_back(prefix, id, ahead)
end
redis.call('DEL', KEYS[2], KEYS[7])
redis.call('ZREM', KEYS[3], id)
redis.call('ZREM', KEYS[4], id)
redis.call('HDEL', KEYS[6], id, id .. ':active', id .. ':waiting', id .. ':fails')
if progress:sub(1, 1) == '1' then
    redis.call('HINCRBY', KEYS[5], 'enabled', -1)
    return 1
end
return 0
