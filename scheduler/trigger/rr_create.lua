-- SPDX-License-Identifier: Apache-2.0
-- Create a recurring run. The same id again changes nothing and gives the one that is there.
-- KEYS: 1 epoch, 2 rr:<id>, 3 rrs, 4 due, 5 rr_counts
-- ARGV: 1 the epoch that we hold or 0, 2 id, 3 doc, 4 enabled 0/1, 5 created_us, 6 next_us
--       (0: never)
-- Result: fields and values, flat.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    -- Another daemon carries this shard on: it is to look (contrib/docs/storage.md, knocks).
    local knocks = KEYS[1]:gsub('epoch$', 'knocks')
    redis.call('INCR', knocks)
    redis.call('RPUSH', knocks .. ':ids', 'recurring ' .. ARGV[2])
    redis.call('LTRIM', knocks .. ':ids', -256, -1)
end
if redis.call('EXISTS', KEYS[2]) == 0 then
    redis.call('HSET', KEYS[2], 'v', 1, 'doc', ARGV[3], 'enabled', ARGV[4], 'generation', 1,
        'index', 0, 'last_us', 0, 'anchor_us', 0, 'next_us', ARGV[6], 'waiting', 0,
        'active', 0, 'updated_us', ARGV[5], 'error', '')
    redis.call('ZADD', KEYS[3], ARGV[5], ARGV[2])
    if ARGV[4] == '1' then
        redis.call('HINCRBY', KEYS[5], 'enabled', 1)
        if ARGV[6] ~= '0' then
            redis.call('ZADD', KEYS[4], ARGV[6], ARGV[2])
        end
    end
end
return redis.call('HGETALL', KEYS[2])
