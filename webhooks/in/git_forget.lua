-- SPDX-License-Identifier: Apache-2.0
-- A trigger is deleted: its log, what it has seen, and what waits in its groups go. Its runs stay.
-- ARGV: 1 the shard's key prefix, 2 trigger
local p, trigger = ARGV[1], ARGV[2]
local events = p .. 'git:' .. trigger .. ':events'
for _, id in ipairs(redis.call('ZRANGE', events, 0, -1)) do
    redis.call('DEL', p .. 'git_event:' .. trigger .. ':' .. id)
end
local active = redis.call('HGETALL', p .. 'git_active')
for i = 1, #active, 2 do
    local group = active[i + 1]
    if group:match('^[^:]+') == trigger then
        redis.call('DEL', p .. 'git_group:' .. group, p .. 'git_waits:' .. group)
        redis.call('HDEL', p .. 'git_active', active[i])
    end
end
for _, id in ipairs(redis.call('ZRANGE', p .. 'git_statuses', 0, -1)) do
    if redis.call('HGET', p .. 'git_status:' .. id, 'trigger') == trigger then
        redis.call('DEL', p .. 'git_status:' .. id)
        redis.call('ZREM', p .. 'git_statuses', id)
    end
end
redis.call('DEL', events, p .. 'git:' .. trigger .. ':seen', p .. 'git:' .. trigger .. ':seen_at',
    p .. 'git:' .. trigger .. ':counts', p .. 'git:' .. trigger .. ':refused',
    p .. 'git:' .. trigger .. ':status', p .. 'git:' .. trigger .. ':poll', p .. 'git:' .. trigger .. ':refs')
return 1
