-- SPDX-License-Identifier: Apache-2.0
-- Statuses of runs that go on: those whose run has ended meanwhile are due.
-- KEYS: 1 epoch
-- ARGV: 1 the shard's key prefix, 2 the epoch that we hold, 3 now_us, 4 how many to look at
-- Result: {how many have become due, when the first of all is or 0}. FENCED.
--@include git_status.lua.in
local p, due = ARGV[1], 0
if redis.call('GET', KEYS[1]) ~= ARGV[2] then
    return redis.error_reply('FENCED the shard is carried on by another daemon')
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', p .. 'git_statuses', '+inf', '+inf', 'LIMIT', 0, ARGV[4])) do
    if status_is_behind(p, id, redis.call('HGET', p .. 'git_status:' .. id, 'stage')) then
        status_due(p, id, ARGV[3])
        due = due + 1
    end
end
local first = redis.call('ZRANGEBYSCORE', p .. 'git_statuses', '-inf', '(+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return {due, first[2] or '0'}
