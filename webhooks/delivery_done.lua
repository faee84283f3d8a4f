-- SPDX-License-Identifier: Apache-2.0
-- Record how one attempt ended.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  epoch  ARGV[3]  delivery id  ARGV[4]  now_us
-- ARGV[5]  state: DELIVERED, FAILED, PENDING, or DROPPED (its subscription is gone)
-- ARGV[6]  next_us (PENDING)     ARGV[7]  attempts made  ARGV[8]  HTTP status or 0
-- ARGV[9]  error text  ARGV[10]  duration_ms  ARGV[11]  finished deliveries kept per subscription
-- Result: OK; the delivery may be gone (its subscription was deleted).
local p, id = ARGV[1], ARGV[3]
if redis.call('GET', p .. 'epoch') ~= ARGV[2] then
    return redis.error_reply('FENCED another daemon owns this shard')
end
local key = p .. 'delivery:' .. id
local sub = redis.call('HGET', key, 'subscription')
redis.call('SREM', p .. 'sending', id)
if not sub or ARGV[5] == 'DROPPED' then
    redis.call('ZREM', p .. 'deliveries', id)
    redis.call('DEL', key)
    return 'OK'
end
redis.call('HSET', key, 'state', ARGV[5], 'attempts', ARGV[7], 'status', ARGV[8], 'error', ARGV[9],
    'duration_ms', ARGV[10], 'attempted_us', ARGV[4])
local log = p .. 'subscription:' .. sub .. ':log'
redis.call('ZADD', log, redis.call('HGET', key, 'created_us'), id)
if ARGV[5] == 'PENDING' then
    redis.call('ZADD', p .. 'deliveries', ARGV[6], id)
    redis.call('HSET', key, 'next_us', ARGV[6])
    return 'OK'
end
redis.call('ZREM', p .. 'deliveries', id)
redis.call('HDEL', key, 'next_us')
local over = redis.call('ZCARD', log) - tonumber(ARGV[11])
if over > 0 then
    for _, old in ipairs(redis.call('ZRANGE', log, 0, over - 1)) do
        if redis.call('HGET', p .. 'delivery:' .. old, 'state') ~= 'PENDING' then
            redis.call('DEL', p .. 'delivery:' .. old)
            redis.call('ZREM', log, old)
        end
    end
end
return 'OK'
