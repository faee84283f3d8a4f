-- SPDX-License-Identifier: Apache-2.0
-- Archive a run, or take it out again.
-- KEYS: 1 run:<id>
-- ARGV: 1 id, 2 AVAILABLE | ARCHIVED, 3 key prefix
-- Result: the run's fields and values, flat. NOSUCH.
--@include born.lua.in
if redis.call('EXISTS', KEYS[1]) == 0 and not hatch(ARGV[3], ARGV[1]) then
    return redis.error_reply('NOSUCH run ' .. ARGV[1] .. ' does not exist')
end
redis.call('HSET', KEYS[1], 'storage', ARGV[2])
return redis.call('HGETALL', KEYS[1])
