-- SPDX-License-Identifier: Apache-2.0
-- Write records of the cache, the newest of each name wins; and drop the oldest beyond a number
-- or an age, so that whoever writes keeps it bounded.
--
-- KEYS: 1 epoch, 2 caches, 3 prefix of the records ("...cache:")
-- ARGV: 1 epoch, 2 how many this shard may hold, 3 what is older than this instant goes (us),
--       then name, created_us and text of each
-- Result: how many were dropped.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
for i = 4, #ARGV, 3 do
    local held = tonumber(redis.call('ZSCORE', KEYS[2], ARGV[i]) or '-1')
    if held <= tonumber(ARGV[i + 1]) then
        redis.call('SET', KEYS[3] .. ARGV[i], ARGV[i + 2])
        redis.call('ZADD', KEYS[2], ARGV[i + 1], ARGV[i])
    end
end

local dropped = 0
local function drop(names)
    for _, name in ipairs(names) do
        redis.call('DEL', KEYS[3] .. name)
        redis.call('ZREM', KEYS[2], name)
        dropped = dropped + 1
    end
end
-- A bounded number at a time: whatever is left goes with the next ones.
local excess = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[2])
if excess > 0 then
    drop(redis.call('ZRANGE', KEYS[2], 0, math.min(excess, 200) - 1))
end
drop(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[3], 'LIMIT', 0, 200))
return dropped
