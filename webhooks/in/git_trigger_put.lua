-- SPDX-License-Identifier: Apache-2.0
-- Put a trigger's record in the place of the one that was read.
-- KEYS: 1 git_triggers, 2 git_polls
-- ARGV: 1 id, 2 the record that was read or '' for a new one, 3 the new record, 4 triggers at most,
--   5 '1' if it looks at the repository's refs now and then
-- Result: 1. NOSUCH, CONFLICT, LIMIT.
local now = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[2] == '' then
    if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
        return redis.error_reply('LIMIT there are ' .. ARGV[4] .. ' triggers; delete some')
    end
elseif not now then
    return redis.error_reply('NOSUCH trigger ' .. ARGV[1] .. ' does not exist')
elseif now ~= ARGV[2] then
    return redis.error_reply('CONFLICT trigger ' .. ARGV[1] .. ' was changed meanwhile')
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call(ARGV[5] == '1' and 'SADD' or 'SREM', KEYS[2], ARGV[1])
return 1
