-- SPDX-License-Identifier: Apache-2.0
-- Settle a message at a trigger: record it, see which of its changes are new, and start their runs or
-- let them wait. All or nothing; the same message again changes nothing and gives the same runs.
-- KEYS: 1 epoch
-- ARGV: 1 the shard's key prefix, 2 the epoch that we hold or 0, 3 trigger, 4 event, 5 now_us,
--   6 the event's doc, 7 payload and 8 headers to keep or '', 9 events kept, 10 window_us and
--   11 entries of what was seen, 12 'message' or 'again' (somebody asked for it by hand),
--   13 the repository whose commits get a status or '', 14 of a look at the refs: messages that came since
--   then (us) may have told the same; or ''; then of each change: n, verdict (match, fetch, ignored, failed), reason, run, experiment, the run's doc and its
--   event run.created (JSON, a newline between them), key or
--   '-', ref key or '-', before, after, group or '-', the group's name, policy, how many may wait, the
--   events trigger.fired and trigger.rejected, or '-'; '<status> <commit>' or '-'
-- Result: of each change {result, run or '-', reason}, then pairs: 'wake' or 'cancel' and a run.
--@include ../../scheduler/base/knock.lua.in
--@include ../../scheduler/run/run_put.lua.in
--@include git_status.lua.in
--@include git_groups.lua.in
local p, trigger, event, now_text = ARGV[1], ARGV[3], ARGV[4], ARGV[5]
local now = tonumber(now_text)
local QUICK_US = 60000000
local E = p .. 'git_event:' .. trigger .. ':' .. event
local events = p .. 'git:' .. trigger .. ':events'
local seen, seen_at = p .. 'git:' .. trigger .. ':seen', p .. 'git:' .. trigger .. ':seen_at'
local counts = p .. 'git:' .. trigger .. ':counts'
local is_ours = redis.call('GET', KEYS[1]) == ARGV[2]
local by_hand = ARGV[12] == 'again'
local since = tonumber(ARGV[14])
local out, todo = {}, {}
local has_told = false
local is_fetching = false

local function remember(field, value)
    redis.call('HSET', seen, field, value)
    redis.call('ZADD', seen_at, now_text, field)
end

local function start(run, experiment, doc)
    run_put(p, run, experiment, doc:match('^[^\n]*'), doc:match('\n(.*)$'), now_text)
    if not is_ours then
        knock(KEYS[1], 'run ' .. run)
    end
end

-- The run of an earlier message about this very change, or nil. After the first minute a ref may have
-- been moved away and back: then it is the same move, but another push.
local function twin(c)
    if c.key == '-' then
        return nil
    end
    local run, at = (redis.call('HGET', seen, 'k:' .. c.key) or ''):match('^(%S+) (%d+)$')
    if not run then
        return nil
    end
    if c.ref ~= '-' and now - tonumber(at) > QUICK_US then
        local last, after = (redis.call('HGET', seen, 'r:' .. c.ref) or ''):match('^(%S+) (%S+)$')
        if last and last ~= c.key and after == c.before then
            return nil
        end
    end
    return run
end

-- Only the newest of a group that cancels is wanted.
local function supersede(c)
    local waits = p .. 'git_waits:' .. c.group
    for _, entry in ipairs(redis.call('LRANGE', waits, 0, -1)) do
        local old, n, run = entry:match('^(%S+) (%S+) (%S+) ')
        settle(p, trigger, old, n, 'superseded', run, 'a later push of group ' .. c.name)
        status_stage(p, run, 'superseded', 'a later push of group ' .. c.name, now_text)
    end
    redis.call('DEL', waits)
end

-- Of a look at the refs: has a message told that the ref went there? Of a message: the run that a look
-- started when it found the ref there, unless the ref has gone on since, and come back from where it was
-- last.
local function told_otherwise(c)
    if c.ref == '-' then
        return nil
    end
    local last, went = (redis.call('HGET', seen, 'r:' .. c.ref) or ''):match('^(%S+) (%S+)$')
    if since then
        local at = redis.call('ZSCORE', seen_at, 'r:' .. c.ref)
        return went == c.after and last ~= c.key and at and tonumber(at) > since and '-' or nil
    end
    local after, run = (redis.call('HGET', seen, 'p:' .. c.ref) or ''):match('^(%S+) (%S+)$')
    if after ~= c.after or went == c.before and went ~= after then
        return nil
    end
    return run
end

local function admit(c)
    if c.policy == 'cancel' then
        supersede(c)
    end
    local active, is_begun = group_turn(p, c.group, now_text)
    if is_begun then
        todo[#todo + 1] = 'wake'
        todo[#todo + 1] = active
        if not is_ours then
            knock(KEYS[1], 'run ' .. active)
        end
    end
    if not active then
        start(c.run, c.experiment, c.doc)
        group_hold(p, c.group, c.run)
        return 'started', ''
    end
    local waits = p .. 'git_waits:' .. c.group
    if c.policy == 'skip' then
        return 'skipped', 'run ' .. active .. ' of group ' .. c.name .. ' has not ended'
    end
    if c.policy == 'cancel' then
        redis.call('HSET', p .. 'git_group:' .. c.group, 'cancel', active)
        if is_to_be_asked(p, active) then
            todo[#todo + 1] = 'cancel'
            todo[#todo + 1] = active
        end
    elseif redis.call('LLEN', waits) >= tonumber(c.max) then
        return 'skipped', c.max .. ' pushes wait in group ' .. c.name .. ' already'
    end
    redis.call('RPUSH', waits, table.concat({event, c.n, c.run, c.experiment, c.doc}, ' '))
    return 'waiting', 'for run ' .. active .. ' of group ' .. c.name
end

local function decide(c)
    local old, run = (redis.call('HGET', E, 'r' .. c.n) or ''):match('^(%S+) (%S+)')
    local is_settled = old == 'started' or old == 'waiting' or old == 'superseded' or
        old == 'dropped'
    if is_settled and (run == c.run or not by_hand) then
        return 'duplicate', run, 'this delivery came before'
    end
    if c.verdict ~= 'match' and c.verdict ~= 'fetch' then
        return c.verdict, '-', c.reason
    end
    if redis.call('HEXISTS', seen, c.run) == 1 then
        return 'duplicate', c.run, 'this delivery came before'
    end
    run = twin(c) or told_otherwise(c)
    if run then
        return 'duplicate', run, 'another message told of this very change'
    end
    if c.verdict == 'fetch' then
        is_fetching = true
        return 'fetching', '-', c.reason
    end
    local result, reason = 'started', ''
    if c.group then
        result, reason = admit(c)
    else
        start(c.run, c.experiment, c.doc)
    end
    if result == 'skipped' then
        return result, '-', reason
    end
    remember(c.run, '1')
    if c.key ~= '-' then
        remember('k:' .. c.key, c.run .. ' ' .. now_text)
        if since and c.ref ~= '-' then
            remember('p:' .. c.ref, c.after .. ' ' .. c.run)
        end
    end
    return result, c.run, reason
end

-- member: whose value, "@", is known only here.
local function tell(told, member, value)
    local filled = told:gsub('"' .. member .. '":"@"', function()
        return '"' .. member .. '":' .. cjson.encode(value)
    end, 1)
    redis.call('XADD', p .. 'events', '*', 'e', filled)
    has_told = true
end

-- Those who want to know are told, of a rejection once for each reason.
local function announce(c, result, reason)
    local is_rejected = result == 'ignored' or result == 'failed' or result == 'skipped'
    if result == 'started' or result == 'waiting' then
        tell(c.fired, 'result', result)
    elseif is_rejected and c.rejected ~= '-' and
        redis.call('HGET', E, 'r' .. c.n) ~= result .. ' - ' .. reason then
        tell(c.rejected, 'reason', reason)
    end
end

local function tell_status(c, result, reason)
    local id, commit = c.status:match('^(%S+) (%S+)$')
    if id and (result == 'started' or result == 'waiting' or result == 'failed') then
        local S = p .. 'git_status:' .. id
        redis.call('HSET', S, 'trigger', trigger, 'event', event, 'commit', commit, 'repository', ARGV[13],
            'stage', result, 'why', reason)
        status_due(p, id, now_text)
    end
end

local function forget(fields)
    if #fields > 0 then
        redis.call('HDEL', seen, unpack(fields))
        redis.call('ZREM', seen_at, unpack(fields))
    end
end

local is_new = redis.call('EXISTS', E) == 0
local is_changed = false
local results = {}
for i = 15, #ARGV, 17 do
    local c = {n = ARGV[i], verdict = ARGV[i + 1], reason = ARGV[i + 2], run = ARGV[i + 3],
        experiment = ARGV[i + 4], doc = ARGV[i + 5], key = ARGV[i + 6], ref = ARGV[i + 7],
        before = ARGV[i + 8], after = ARGV[i + 9], group = ARGV[i + 10] ~= '-' and trigger .. ':' .. ARGV[i + 10], name = ARGV[i + 11],
        policy = ARGV[i + 12], max = ARGV[i + 13], fired = ARGV[i + 14],
        rejected = ARGV[i + 15], status = ARGV[i + 16]}
    local result, run, reason = decide(c)
    if result ~= 'duplicate' and c.ref ~= '-' then
        remember('r:' .. c.ref, c.key .. ' ' .. c.after)
    end
    local is_pending = by_hand and (redis.call('HGET', E, 'r' .. c.n) or ''):match('^fetching ')
    if is_new or is_pending or result ~= 'duplicate' then
        is_changed = true
        results[#results + 1] = 'r' .. c.n
        results[#results + 1] = result .. ' ' .. run .. ' ' .. reason
        announce(c, result, reason)
    end
    tell_status(c, result, reason)
    redis.call('HINCRBY', counts, result, 1)
    out[#out + 1] = {result, run, reason}
end
if is_new then
    redis.call('HSET', E, 'doc', ARGV[6], 'payload', ARGV[7], 'headers', ARGV[8], 'at_us', now_text)
    redis.call('ZADD', events, now_text, event)
    local over = redis.call('ZCARD', events) - tonumber(ARGV[9])
    if over > 0 then
        local old = redis.call('ZRANGE', events, 0, math.min(over, 20) - 1)
        for _, id in ipairs(old) do
            redis.call('DEL', p .. 'git_event:' .. trigger .. ':' .. id)
        end
        redis.call('ZREM', events, unpack(old))
    end
else
    redis.call('HINCRBY', E, 'copies', 1)
    redis.call('HSET', E, 'last_us', now_text)
    if is_changed then
        redis.call('HSET', E, 'doc', ARGV[6])
    end
end
if #results > 0 then
    redis.call('HSET', E, unpack(results))
end
-- Its pipeline is to be read from the repository (git_fetch.c), or that is done.
local fetch = trigger .. ' ' .. event
if is_fetching then
    redis.call('ZADD', p .. 'git_fetches', 'NX', now_text, fetch)
elseif by_hand then
    redis.call('ZREM', p .. 'git_fetches', fetch)
    redis.call('HDEL', p .. 'git_fetch_tries', fetch)
end
redis.call('HSET', counts, 'last_us', now_text)
forget(redis.call('ZRANGEBYSCORE', seen_at, '-inf', string.format('%.0f', now - tonumber(ARGV[10])),
    'LIMIT', 0, 100))
local over = redis.call('ZCARD', seen_at) - tonumber(ARGV[11])
if over > 0 then
    forget(redis.call('ZRANGE', seen_at, 0, math.min(over, 100) - 1))
end
if has_told and not is_ours then
    knock(KEYS[1], 'events ' .. event)
end
for _, word in ipairs(todo) do
    out[#out + 1] = word
end
return out
