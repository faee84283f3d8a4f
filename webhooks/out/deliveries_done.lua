-- SPDX-License-Identifier: Apache-2.0
-- Record how attempts ended, many at once. Doing it again changes nothing.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  epoch  ARGV[3]  now_us
-- ARGV[4]  finished deliveries kept per subscription  ARGV[5]  none that ended before this (us)
-- ARGV[6]  bytes of their messages kept in this shard  ARGV[7]  attempts kept per delivery
-- ARGV[8]  number of events that follow; then the events (JSON) for the stream
-- then for each: delivery id; state: DELIVERED, FAILED, PENDING, PARKED (waits until its subscription is
-- sent to again), GONE (so is its subscription); next_us; attempts made; rungs of the schedule used up;
-- HTTP status or 0; error text; duration_ms; the attempt as JSON, "": it was not tried
-- Result: [how many have not ended, {subscriptions that have some parked}]; deliveries may be gone (their
-- subscription was deleted).
local p = ARGV[1]
--@include delivery.lua.in
local TRIM_MAX = 64
if redis.call('GET', p .. 'epoch') ~= ARGV[2] then
    return redis.error_reply('FENCED another daemon owns this shard')
end
local now, log_max, parked, ended = ARGV[3], tonumber(ARGV[4]), {}, {}

local function record(id, sub, at)
    local key, state, attempt = key_of(id), ARGV[at + 1], ARGV[at + 8]
    local set = {'attempts', ARGV[at + 3], 'step', ARGV[at + 4]}
    local function add(name, value) set[#set + 1], set[#set + 2] = name, value end
    if attempt ~= '' then
        add('status', ARGV[at + 5])
        add('error', ARGV[at + 6])
        add('duration_ms', ARGV[at + 7])
        add('attempted_us', now)
        local attempts, number = p .. 'delivery:' .. id .. ':attempts', tonumber(ARGV[at + 3])
        redis.call('HSET', attempts, number, attempt)
        if number > tonumber(ARGV[7]) then redis.call('HDEL', attempts, number - tonumber(ARGV[7])) end
    end
    if state == 'PENDING' or state == 'PARKED' then
        add('state', 'PENDING')
        add('next_us', ARGV[at + 2])
        redis.call('HSET', key, unpack(set))
        if state == 'PARKED' then
            park(id, sub, ARGV[at + 2])
            parked[sub] = true
        else
            redis.call('ZREM', parked_of(sub), id) -- its lease had ended, and there was no room for it
            redis.call('ZADD', p .. 'deliveries', ARGV[at + 2], id)
        end
        return
    end
    local was = redis.call('HGET', key, 'state')
    add('state', state)
    if attempt == '' then add('error', ARGV[at + 6]) end
    redis.call('HSET', key, unpack(set))
    if was ~= state then
        local bytes = redis.call('HSTRLEN', key, 'body')
        redis.call('HDEL', key, 'next_us')
        end_pending(id, sub, bytes, now)
        keep(id, sub, bytes, now)
        ended[sub] = true
    end
end

local at = 9 + tonumber(ARGV[8])
for i = 9, at - 1 do redis.call('XADD', p .. 'events', '*', 'e', ARGV[i]) end
while at <= #ARGV do
    local id = ARGV[at]
    local sub = redis.call('HGET', key_of(id), 'subscription')
    redis.call('SREM', p .. 'sending', id)
    if not sub or ARGV[at + 1] == 'GONE' then
        forget(id, now)
    else
        record(id, sub, at)
    end
    at = at + 9
end

-- The log is bounded by number, age and size. Those that still wait are no part of it.
for sub in pairs(ended) do
    local over = redis.call('ZCARD', log_of(sub)) - redis.call('ZCARD', pending_of(sub)) - log_max
    local first = 0
    while over > 0 and first < TRIM_MAX do
        local id = redis.call('ZRANGE', log_of(sub), first, first)[1]
        if not id then break end
        if redis.call('ZSCORE', pending_of(sub), id) then
            first = first + 1
        else
            forget(id, now)
            redis.call('ZREM', log_of(sub), id)
            over = over - 1
        end
    end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', p .. 'deliveries_finished', '-inf', ARGV[5], 'LIMIT', 0, TRIM_MAX)) do
    forget(id, now)
    redis.call('ZREM', p .. 'deliveries_finished', id)
end
for _ = 1, TRIM_MAX do
    if tonumber(redis.call('HGET', stats, 'log_bytes') or 0) <= tonumber(ARGV[6]) then break end
    local id = redis.call('ZRANGE', p .. 'deliveries_finished', 0, 0)[1]
    if not id then break end
    forget(id, now)
    redis.call('ZREM', p .. 'deliveries_finished', id)
end
local names = {}
for sub in pairs(parked) do names[#names + 1] = sub end
return {redis.call('HGET', stats, 'count') or '0', names}
