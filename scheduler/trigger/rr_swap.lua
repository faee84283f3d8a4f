-- SPDX-License-Identifier: Apache-2.0
-- Create or change a recurring run: put its new progress in the place of the one that was read, and with
-- it whatever else belongs to the change. The same swap again changes nothing and is answered alike.
-- KEYS: 1 epoch, 2 rr:<id>, 3 progress, 4 due, 5 index (rrs), 6 rr_counts, 7 events, 8 rr:<id>:ticks
-- ARGV: 1 the epoch that we hold or 0, with a "!" before it: only if we hold it; 2 id, 3 progress that was read ("": create), 4 new progress, 5 new doc ("": as it is),
--       6 due (us; 0: not in `due`), 7 created_us (to create), 8 enabled: 1 more, -1 one less, 0,
--       9 mark: "" leave `<id>:waiting` alone, "0" take it away, else its value,
--       10 failures: "" leave `<id>:fails` alone, "-" take it away, else its value,
--       11 the mark that was read, "" none, 12 ledger entries kept, 13 how far the daemon's clock was moved (us; tests), 14 how many new ones, then those, newest last, then events
-- Result: {1 swapped | 0 it is another one by now, doc, progress, active, waiting, fails}.
--         FENCED, NOSUCH.
--@include ../base/knock.lua.in
--@include ../base/clock.lua.in
--@include ahead.lua.in
local call = redis.call
local epoch = call('GET', KEYS[1])
if ARGV[1]:sub(1, 1) == '!' then
    if epoch ~= ARGV[1]:sub(2) then
        return redis.error_reply('FENCED another daemon has taken over this shard')
    end
elseif epoch ~= ARGV[1] then
    knock(KEYS[1], 'recurring ' .. ARGV[2])
end
local id = ARGV[2]
local prefix = KEYS[3]:match('^(.*)progress$')
local there = call('HGET', KEYS[3], id)
local ahead = there and ahead_of(prefix, id, there, ARGV[13])
local result = 0
if not there and ARGV[3] ~= '' then
    return redis.error_reply('NOSUCH recurring run ' .. id .. ' does not exist')
end
-- A run may have ended since it was read: that takes the mark away and makes it due.
if (ahead and ahead.before or there or '') == ARGV[3] and (call('HGET', KEYS[3], id .. ':waiting') or '') == ARGV[11] then
    result = 1
    if ahead then
        ahead_take_back(prefix, id, ahead)
        ahead = nil
    end
    call('HSET', KEYS[3], id, ARGV[4])
    if ARGV[5] ~= '' then
        call('SET', KEYS[2], ARGV[5])
    end
    if not there then
        call('ZADD', KEYS[5], ARGV[7], id)
    end
    if ARGV[6] == '0' then
        call('ZREM', KEYS[4], id)
    else
        call('ZADD', KEYS[4], ARGV[6], id)
    end
    if ARGV[8] ~= '0' then
        call('HINCRBY', KEYS[6], 'enabled', ARGV[8])
    end
    if ARGV[9] == '0' then
        call('HDEL', KEYS[3], id .. ':waiting')
    elseif ARGV[9] ~= '' then
        call('HSET', KEYS[3], id .. ':waiting', ARGV[9])
    end
    if ARGV[10] == '-' then
        call('HDEL', KEYS[3], id .. ':fails')
    elseif ARGV[10] ~= '' then
        call('HSET', KEYS[3], id .. ':fails', ARGV[10])
    end
    local first, count = 15, tonumber(ARGV[14])
    for i = first, first + count - 1 do
        call('LPUSH', KEYS[8], ARGV[i])
    end
    if count > 0 then
        call('LTRIM', KEYS[8], 0, tonumber(ARGV[12]) - 1)
    end
    for i = first + count, #ARGV do
        call('XADD', KEYS[7], '*', 'e', ARGV[i])
    end
elseif there == ARGV[4] then
    result = 1
end
local rest = call('HMGET', KEYS[3], id, id .. ':active', id .. ':waiting', id .. ':fails')
if ahead then
    rest[1], rest[2] = ahead.before, rest[2] - 1
end
return {result, call('GET', KEYS[2]), rest[1], rest[2], rest[3], rest[4]}
