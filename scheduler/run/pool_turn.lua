-- SPDX-License-Identifier: Apache-2.0
-- Runs give their slots back, others ask for theirs, and whoever is next gets what is free. Each part may
-- be repeated.
-- KEYS: 1 entries (all keys of pools have its tag)
-- ARGV: 1 key prefix, 2 slots of `default` or 0 (no limit),
--       3 number of runs that leave, then their ids,
--       number of runs that ask, then of each: id, "1" it is running already, pool or "-", priority,
--       recurring run or "-"
-- Result: {1 there may be more to admit, ids of those that asked and hold their slots, and of those that
-- were admitted, ...}; whoever asked and is not in it waits.
--@include pools.lua.in
local P = ARGV[1]
local slots = redis.call('HGET', P .. 'slots', 'default')
if ARGV[2] == '0' then
    if slots then
        redis.call('HDEL', P .. 'slots', 'default')
    end
elseif slots ~= ARGV[2] then
    redis.call('HSET', P .. 'slots', 'default', ARGV[2])
end
local out = {0}
local at = 3
for _ = 1, tonumber(ARGV[at]) do
    at = at + 1
    leave(P, ARGV[at])
end
at = at + 1
-- Those that are running already first: what is left is for the others.
local has_more
for pass = 1, 2 do
    for i = 1, tonumber(ARGV[at]) do
        local a = at + (i - 1) * 5
        local is_running = ARGV[a + 2] == '1'
        if is_running == (pass == 1) then
            ask(P, ARGV[a + 1], is_running, ARGV[a + 3], tonumber(ARGV[a + 4]), ARGV[a + 5], out)
        end
    end
    has_more = admit(P, out) or has_more
end
if has_more then
    out[1] = 1
end
return out
