-- SPDX-License-Identifier: Apache-2.0
-- A run that was active in a concurrency group may have ended: let the next push of the group begin.
-- KEYS: 1 epoch
-- ARGV: 1 the shard's key prefix, 2 the epoch that we hold, 3 the run, 4 now_us
-- Result: {run that has begun or '', run that was to be asked to end and still is active or '', 1 when a
--   commit status is due or 0}. FENCED.
--@include ../../scheduler/run/run_put.lua.in
--@include git_status.lua.in
--@include git_groups.lua.in
local p = ARGV[1]
if redis.call('GET', KEYS[1]) ~= ARGV[2] then
    return redis.error_reply('FENCED the shard is carried on by another daemon')
end
local has_status = redis.call('EXISTS', p .. 'git_status:' .. ARGV[3])
if has_status == 1 and not is_live(p, ARGV[3]) then
    status_due(p, ARGV[3], ARGV[4])
end
local group = redis.call('HGET', p .. 'git_active', ARGV[3])
if not group then
    return {'', '', has_status}
end
local active, is_begun = group_turn(p, group, ARGV[4])
if is_begun then
    return {active, '', 1}
end
local cancel = redis.call('HGET', p .. 'git_group:' .. group, 'cancel')
return {'', active and cancel == active and is_to_be_asked(p, active) and active or '', has_status}
