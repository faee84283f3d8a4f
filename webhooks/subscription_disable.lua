-- SPDX-License-Identifier: Apache-2.0
-- Store a subscription again that was switched off; one that was deleted meanwhile stays so.
-- KEYS[1]  subscriptions  KEYS[2]  subscriptions_rev
-- ARGV[1]  id  ARGV[2]  record
-- Result: 1 if it was there.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
    return 0
end
redis.call('INCR', KEYS[2])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
