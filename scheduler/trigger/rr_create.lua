-- SPDX-License-Identifier: Apache-2.0
-- Create a recurring run. The same id again changes nothing and gives the one that is there.
-- KEYS: 1 epoch, 2 rr:<id>, 3 rrs, 4 due, 5 rr_counts
-- ARGV: 1 epoch, 2 id, 3 doc, 4 enabled 0/1, 5 created_us, 6 next_us (0: never)
-- Result: fields and values, flat. FENCED.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
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
