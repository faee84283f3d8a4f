-- SPDX-License-Identifier: Apache-2.0
-- Write a subscription, or delete it. The number of changes tells other daemons to read them anew.
-- KEYS: 1 subscriptions, 2 subscriptions_rev
-- ARGV: 1 id, 2 record, "": delete it
-- Result: how many were written or deleted.
redis.call('INCR', KEYS[2])
if ARGV[2] == '' then
    return redis.call('HDEL', KEYS[1], ARGV[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
