-- SPDX-License-Identifier: Apache-2.0
-- Enable or disable a recurring run. Runs in progress are left alone; a slot that waits for a
-- free place is forgotten by disabling. Doing it again changes nothing.
-- KEYS: 1 epoch, 2 rr:<id>, 3 due, 4 rr_counts
-- ARGV: 1 the epoch that we hold or 0, 2 id, 3 enabled 0/1, 4 now_us, and for enabling: 5 the
--       index that was read,
--       6 anchor_us, 7 next_us (0: never)
-- Result: {fields and values flat, 1 changed | 0 was so already | -1 it has fired since it was
--       read: read again}. NOSUCH.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    -- Another daemon carries this shard on: it is to look (contrib/docs/storage.md, knocks).
    local knocks = KEYS[1]:gsub('epoch$', 'knocks')
    redis.call('INCR', knocks)
    redis.call('RPUSH', knocks .. ':ids', 'recurring ' .. ARGV[2])
    redis.call('LTRIM', knocks .. ':ids', -256, -1)
end
local was = redis.call('HMGET', KEYS[2], 'enabled', 'index')
if not was[1] then
    return redis.error_reply('NOSUCH recurring run ' .. ARGV[2] .. ' does not exist')
end
local result = 0
if was[1] ~= ARGV[3] then
    result = 1
    if ARGV[3] == '0' then
        redis.call('HSET', KEYS[2], 'enabled', 0, 'waiting', 0, 'updated_us', ARGV[4])
        redis.call('ZREM', KEYS[3], ARGV[2])
        redis.call('HINCRBY', KEYS[4], 'enabled', -1)
    elseif was[2] ~= ARGV[5] then
        result = -1
    else
        redis.call('HSET', KEYS[2], 'enabled', 1, 'waiting', 0, 'updated_us', ARGV[4],
            'anchor_us', ARGV[6], 'next_us', ARGV[7], 'error', '')
        redis.call('HINCRBY', KEYS[4], 'enabled', 1)
        if ARGV[7] ~= '0' then
            redis.call('ZADD', KEYS[3], ARGV[7], ARGV[2])
        end
    end
end
return {redis.call('HGETALL', KEYS[2]), result}
