-- SPDX-License-Identifier: Apache-2.0
-- Write a subscription, or delete it. The number of changes tells other daemons to read them anew.
-- KEYS: 1 subscriptions, 2 subscriptions_rev
-- ARGV: 1 id, 2 record ("": delete it), 3 the record that this one was made from ("": a new one),
--       4 how many subscriptions there may be (new one)
-- Result: subscriptions_rev afterwards; 0: it was not there. CONFLICT: it is not that record any more.
local known = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[2] == '' then
    if not known then return 0 end
    redis.call('HDEL', KEYS[1], ARGV[1])
    return redis.call('INCR', KEYS[2])
end
if ARGV[3] ~= '' then
    if not known then return 0 end
    if known ~= ARGV[3] then return redis.error_reply('CONFLICT the subscription was changed meanwhile') end
elseif not known and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
    return redis.error_reply('LIMIT there are ' .. ARGV[4] .. ' subscriptions (webhook-subscriptions); delete one first')
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('INCR', KEYS[2])
