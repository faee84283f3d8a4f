-- SPDX-License-Identifier: Apache-2.0
-- Turn a batch of events into deliveries and move the cursor, once.
-- Groups of runs that the entries up to there tell of (told:<entry>) go with them.
-- KEYS[1]  shard prefix with "events_cursor" appended (names the slot)
-- ARGV[1]  shard prefix          ARGV[2]  epoch
-- ARGV[3]  cursor as we know it  ARGV[4]  new cursor
-- ARGV[5]  now_us                ARGV[6]  deliveries of a subscription that may wait
-- ARGV[7]  bytes of their messages  ARGV[8]  bytes of all that wait in this shard
-- then for each: delivery id, subscription id, event id, type, body, its content type, its own
-- headers as JSON ("" for none), run id ("" for none), flags: p (its subscription is not sent to just
-- now: park it), o (the events of a run one after the other)
-- Scores keep the order of the events, also of those that came in the same microsecond.
-- Result: [number of new deliveries, {subscriptions that have some parked}, {pairs: subscription id, how
-- many of its oldest were dropped because more wait than may}]; CONFLICT if the cursor has moved.
local p = ARGV[1]
--@include delivery.lua.in
local SEQUENCE_S = 30 * 86400
if redis.call('GET', p .. 'epoch') ~= ARGV[2] then
    return redis.error_reply('FENCED another daemon owns this shard')
end
local cursor = redis.call('GET', p .. 'events_cursor') or '0-0'
if cursor ~= ARGV[3] then
    return redis.error_reply('CONFLICT the cursor is at ' .. cursor)
end
local now, made, at = tonumber(ARGV[5]), 0, 9
local parked, dropped, victim = {}, {}, nil

-- Not one that is being sent: that would be sent and not be known.
local function drop_oldest(sub)
    for _, id in ipairs(redis.call('ZRANGE', pending_of(sub), 0, 99)) do
        if redis.call('SISMEMBER', p .. 'sending', id) == 0 then
            end_pending(id, sub, redis.call('HSTRLEN', key_of(id), 'body'), now)
            redis.call('HSET', key_of(id), 'state', 'DROPPED', 'error', 'more were waiting than may wait; the oldest went')
            redis.call('HDEL', key_of(id), 'body', 'headers', 'next_us')
            keep(id, sub, 0, now)
            dropped[sub] = (dropped[sub] or 0) + 1
            return true
        end
    end
    return false
end

local function biggest()
    local found, most = nil, 0
    local all = redis.call('HGETALL', stats)
    for i = 1, #all, 2 do
        local bytes = tonumber(all[i + 1])
        if #all[i] == 36 and bytes > most then found, most = all[i], bytes end
    end
    return found
end

local last = tonumber(redis.call('GET', p .. 'deliveries_last') or 0)
if last > now + 1000000 then last = 0 end -- the clock was set back
while at <= #ARGV do
    local id, sub, event, kind, body = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local content_type, headers, run, flags = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7], ARGV[at + 8]
    at = at + 9
    local key = p .. 'delivery:' .. id
    if redis.call('EXISTS', key) == 0 then
        last = math.max(now, last + 1)
        local due = string.format('%.0f', last)
        redis.call('HSET', key, 'v', '1', 'subscription', sub, 'event', event, 'type', kind, 'body', body,
            'content_type', content_type, 'run', run, 'created_us', due, 'next_us', due, 'state', 'PENDING',
            'attempts', '0')
        if headers ~= '' then redis.call('HSET', key, 'headers', headers) end
        redis.call('ZADD', pending_of(sub), due, id)
        redis.call('ZADD', log_of(sub), due, id)
        redis.call('HINCRBY', stats, 'count', 1)
        local all_bytes = redis.call('HINCRBY', stats, 'bytes', #body)
        local bytes = redis.call('HINCRBY', stats, sub, #body)
        local is_first = true
        if run ~= '' and flags:find('o', 1, true) then
            local line = sub .. ':' .. run
            redis.call('HSET', key, 'line', '1', 'sequence', redis.call('INCR', p .. 'sequence:' .. line))
            redis.call('EXPIRE', p .. 'sequence:' .. line, SEQUENCE_S)
            is_first = redis.call('RPUSH', line_of(line), id) == 1
        end
        if is_first and flags:find('p', 1, true) then
            park(id, sub, due)
            parked[sub] = true
        elseif is_first then
            redis.call('ZADD', p .. 'deliveries', due, id)
        end
        made = made + 1
        while (redis.call('ZCARD', pending_of(sub)) > tonumber(ARGV[6]) or bytes > tonumber(ARGV[7])) and drop_oldest(sub) do
            bytes = tonumber(redis.call('HGET', stats, sub) or 0)
        end
        while all_bytes > tonumber(ARGV[8]) do
            if not victim or not drop_oldest(victim) then
                victim = biggest()
                if not victim or not drop_oldest(victim) then break end
            end
            all_bytes = tonumber(redis.call('HGET', stats, 'bytes'))
        end
    end
end
if made > 0 then redis.call('SET', p .. 'deliveries_last', string.format('%.0f', last)) end
redis.call('SET', p .. 'events_cursor', ARGV[4])
-- Everything up to the cursor has been handled; nothing else reads the stream.
redis.call('XTRIM', p .. 'events', 'MINID', ARGV[4])
local function place(entry)
    local ms, sequence = entry:match('^(%d+)-(%d+)$')
    return tonumber(ms), tonumber(sequence)
end
local ms, sequence = place(ARGV[4])
for _, entry in ipairs(redis.call('HKEYS', p .. 'told')) do
    local its_ms, its_sequence = place(entry)
    if its_ms < ms or (its_ms == ms and its_sequence <= sequence) then
        redis.call('UNLINK', p .. 'told:' .. entry)
        redis.call('HDEL', p .. 'told', entry)
    end
end
local names, drops = {}, {}
for sub in pairs(parked) do names[#names + 1] = sub end
for sub, count in pairs(dropped) do
    drops[#drops + 1] = sub
    drops[#drops + 1] = count
end
return {made, names, drops}
