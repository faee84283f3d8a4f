-- SPDX-License-Identifier: Apache-2.0
-- Write records of the cache, the newest of each name wins; and drop the oldest beyond a number
-- or an age, so that whoever writes keeps it bounded.
--
-- KEYS: 1 caches, 2 prefix of the records ("...cache:")
-- ARGV: 1 how many this shard may hold, 2 what is older than this instant goes (us),
--       then name, created_us and text of each
-- Result: how many were dropped.
for i = 3, #ARGV, 3 do
    local held = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or '-1')
    if held <= tonumber(ARGV[i + 1]) then
        redis.call('SET', KEYS[2] .. ARGV[i], ARGV[i + 2])
        redis.call('ZADD', KEYS[1], ARGV[i + 1], ARGV[i])
    end
end

local dropped = 0
local function drop(names)
    for _, name in ipairs(names) do
        redis.call('DEL', KEYS[2] .. name)
        redis.call('ZREM', KEYS[1], name)
        dropped = dropped + 1
    end
end
-- A bounded number at a time: whatever is left goes with the next ones.
local excess = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[1])
if excess > 0 then
    drop(redis.call('ZRANGE', KEYS[1], 0, math.min(excess, 200) - 1))
end
drop(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[2], 'LIMIT', 0, 200))
return dropped
