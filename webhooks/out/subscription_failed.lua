-- SPDX-License-Identifier: Apache-2.0
-- Count events for which a subscription's filter could not be evaluated.
-- KEYS: 1 subscriptions, 2 subscription_errors
-- ARGV: 1 subscription id, 2 how many more, 3 the last error, 4 now_us
-- Result: 1; 0: the subscription is gone.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[2], ARGV[1] .. ':count', ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1] .. ':text', ARGV[3], ARGV[1] .. ':at_us', ARGV[4])
return 1
