-- SPDX-License-Identifier: Apache-2.0
-- A daemon starts: what its predecessor was sending is due again at once, in its old order.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  epoch  ARGV[3]  now_us
-- Result: {subscriptions that have parked deliveries}.
local p = ARGV[1]
if redis.call('GET', p .. 'epoch') ~= ARGV[2] then
    return redis.error_reply('FENCED another daemon owns this shard')
end
for _, id in ipairs(redis.call('SMEMBERS', p .. 'sending')) do
    if redis.call('ZSCORE', p .. 'deliveries', id) then
        local due = redis.call('HGET', p .. 'delivery:' .. id, 'next_us') or ARGV[3]
        redis.call('ZADD', p .. 'deliveries', due, id)
    end
end
redis.call('DEL', p .. 'sending')
return redis.call('SMEMBERS', p .. 'parked')
