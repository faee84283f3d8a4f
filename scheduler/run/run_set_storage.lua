-- SPDX-License-Identifier: Apache-2.0
-- Archive a run, or take it out again.
-- KEYS: 1 epoch, 2 run:<id>
-- ARGV: 1 epoch, 2 id, 3 AVAILABLE | ARCHIVED
-- Result: the run's fields and values, flat. FENCED, NOSUCH.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
if redis.call('EXISTS', KEYS[2]) == 0 then
    return redis.error_reply('NOSUCH run ' .. ARGV[2] .. ' does not exist')
end
redis.call('HSET', KEYS[2], 'storage', ARGV[3])
return redis.call('HGETALL', KEYS[2])
