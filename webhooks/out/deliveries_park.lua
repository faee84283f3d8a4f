-- SPDX-License-Identifier: Apache-2.0
-- A subscription is not sent to for a while: what it has waiting is parked, so that all of it goes out
-- when it comes back, the oldest first, whenever each would have been tried again.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  epoch  ARGV[3]  subscription id  ARGV[4]  created after (us)
-- ARGV[5]  at most
-- Result: created_us of the last one looked at, or -1: that was all; and 1 if something was parked.
local p, sub = ARGV[1], ARGV[3]
if redis.call('GET', p .. 'epoch') ~= ARGV[2] then
    return redis.error_reply('FENCED another daemon owns this shard')
end
local found, last = 0, '-1'
local rows = redis.call('ZRANGEBYSCORE', p .. 'subscription:' .. sub .. ':pending', '(' .. ARGV[4], '+inf', 'WITHSCORES',
    'LIMIT', 0, ARGV[5])
for i = 1, #rows, 2 do
    if redis.call('ZSCORE', p .. 'deliveries', rows[i]) and redis.call('SISMEMBER', p .. 'sending', rows[i]) == 0 then
        redis.call('ZREM', p .. 'deliveries', rows[i])
        redis.call('ZADD', p .. 'subscription:' .. sub .. ':parked', rows[i + 1], rows[i])
        redis.call('SADD', p .. 'parked', sub)
        found = 1
    end
end
if #rows == 2 * tonumber(ARGV[5]) then last = rows[#rows] end
return {last, found}
