-- SPDX-License-Identifier: Apache-2.0
-- What waits of an event in its trigger's concurrency groups is to wait no longer: it starts nothing.
-- ARGV: 1 the shard's key prefix, 2 trigger, 3 event, 4 now_us
-- Result: how many.
--@include ../../scheduler/run/run_put.lua.in
--@include git_status.lua.in
--@include git_groups.lua.in
local p, trigger, event = ARGV[1], ARGV[2], ARGV[3]
local count = 0
local active = redis.call('HGETALL', p .. 'git_active')
for i = 2, #active, 2 do
    local group = active[i]
    if group:match('^[^:]+') == trigger then
        for _, entry in ipairs(redis.call('LRANGE', p .. 'git_waits:' .. group, 0, -1)) do
            local of, n, run = entry:match('^(%S+) (%S+) (%S+) ')
            if of == event then
                redis.call('LREM', p .. 'git_waits:' .. group, 1, entry)
                settle(p, trigger, event, n, 'dropped', run, 'by hand, while it waited')
                status_stage(p, run, 'dropped', '', ARGV[4])
                count = count + 1
            end
        end
    end
end
return count
