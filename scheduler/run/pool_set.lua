-- SPDX-License-Identifier: Apache-2.0
-- How many slots a pool has; it is made when it is not there. Nobody is admitted by this: a turn follows.
-- KEYS: 1 slots
-- ARGV: 1 name, 2 slots or "" to delete it, 3 how many pools there may be
-- Result: 1. NOSUCH (of one to be deleted), LIMIT.
local is_there = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1
if ARGV[2] == '' then
    if not is_there then
        return redis.error_reply('NOSUCH pool ' .. ARGV[1] .. ' does not exist')
    end
    return redis.call('HDEL', KEYS[1], ARGV[1])
end
if not is_there and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then
    return redis.error_reply('LIMIT there are ' .. ARGV[3] .. ' pools, and no more are possible')
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
