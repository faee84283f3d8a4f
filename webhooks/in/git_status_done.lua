-- SPDX-License-Identifier: Apache-2.0
-- A status was posted, or was not.
-- KEYS: 1 epoch
-- ARGV: 1 the shard's key prefix, 2 the epoch that we hold, 3 status, 4 now_us, 5 'posted', 'parked'
--   (nothing more to tell for now), 'later', 'over' (never), 'crowded' (later, and that was no try) or
--   'gone' (nobody wants it),
--   6 the stage that it was read at, 7 'final' or '', 8 what was told, 9 due_us of later and crowded,
--   10 before which the forge does not want to be asked (us) or 0, 11 what went wrong or ''
-- Result: 1 it is due again, 0 not now. FENCED.
--@include git_status.lua.in
local p, id, now, what, stage, is_final = ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7] == 'final'
local S, statuses = p .. 'git_status:' .. id, p .. 'git_statuses'
if redis.call('GET', KEYS[1]) ~= ARGV[2] then
    return redis.error_reply('FENCED the shard is carried on by another daemon')
end
local trigger = redis.call('HGET', S, 'trigger')
if not trigger or what == 'gone' then
    redis.call('DEL', S)
    redis.call('ZREM', statuses, id)
    return 0
end
if what == 'crowded' then
    redis.call('ZADD', statuses, 'XX', ARGV[9], id)
    return 0
end
local T, counts = p .. 'git:' .. trigger .. ':status', p .. 'git:' .. trigger .. ':counts'
if ARGV[11] ~= '' then
    redis.call('HSET', T, 'error', ARGV[11], 'error_us', now, 'error_commit', redis.call('HGET', S, 'commit'))
elseif what == 'posted' then
    redis.call('HSET', T, 'last_us', now, 'last_commit', redis.call('HGET', S, 'commit'))
    redis.call('HDEL', T, 'error', 'error_us', 'error_commit')
end
if what == 'posted' or what == 'over' then
    redis.call('HINCRBY', counts, what == 'posted' and 'statuses' or 'statuses_failed', 1)
end
local is_behind = not is_final and status_is_behind(p, id, stage)
    or is_final and redis.call('HGET', S, 'stage') ~= stage
if what == 'over' or what == 'posted' and is_final and not is_behind then
    redis.call('DEL', S)
    redis.call('ZREM', statuses, id)
    return 0
end
redis.call('HDEL', S, 'wait_us')
if ARGV[10] ~= '0' then
    redis.call('HSET', S, 'wait_us', ARGV[10])
end
if what ~= 'later' then
    redis.call('HSET', S, 'posted', ARGV[8])
end
if is_behind then
    status_due(p, id, now)
    return 1
end
if what == 'later' then
    redis.call('HINCRBY', S, 'tries', 1)
    redis.call('ZADD', statuses, ARGV[9], id)
    return 0
end
redis.call('HDEL', S, 'tries')
redis.call('ZADD', statuses, '+inf', id)
return 0
