-- SPDX-License-Identifier: Apache-2.0
-- Claim due ticks of one shard: many recurring runs, at most one tick of each. A tick is fired
-- (the recurring run advances, its run is created, the event is written), or it waits for a free
-- place under max_concurrency, or it is not due any more. A tick that was fired by the same claim
-- before (its answer was lost) is found by its run and answered in the same way.
--
-- KEYS: 1 epoch, 2 due, 3 runs, 4 live, 5 events,
--       then for each tick: rr:<id>, run:<id>, experiment:<id>:runs
-- ARGV: 1 epoch, 2 now_us, 3 history of a new run, then for each tick: recurring run id,
--       the next_us that was read, generation, index of this firing, slot that is fired,
--       next slot (0: never again), max_concurrency, run id, run doc, event
-- Result: for each tick 1 fired, 2 waiting, 3 gone (deleted or disabled), 0 stale (somebody
--       changed it: read it again). FENCED.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
local due, runs, live, events = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local now, history = ARGV[2], ARGV[3]
local out = {}
local k, a = 6, 4
for i = 1, (#KEYS - 5) / 3 do
    local rr, run = KEYS[k], KEYS[k + 1]
    local id, index = ARGV[a], ARGV[a + 3]
    local was = redis.call('HMGET', rr, 'enabled', 'generation', 'next_us', 'index')
    local result
    if not was[1] then
        redis.call('ZREM', due, id)
        result = 3
    elseif was[2] ~= ARGV[a + 2] or was[3] ~= ARGV[a + 1] or
        tonumber(was[4]) + 1 ~= tonumber(index) then
        result = redis.call('EXISTS', run)
    elseif was[1] ~= '1' then
        redis.call('ZREM', due, id)
        result = 3
    elseif redis.call('SCARD', rr .. ':active') >= tonumber(ARGV[a + 6]) then
        redis.call('HSET', rr, 'waiting', 1)
        redis.call('ZREM', due, id)
        result = 2
    else
        local slot, next_slot, run_id = ARGV[a + 4], ARGV[a + 5], ARGV[a + 7]
        redis.call('HSET', run, 'v', 1, 'doc', ARGV[a + 8], 'rr', id, 'state', 'PENDING',
            'created_us', now, 'scheduled_us', slot, 'history', history, 'storage', 'AVAILABLE')
        redis.call('ZADD', runs, now, run_id)
        redis.call('ZADD', live, now, run_id)
        redis.call('ZADD', KEYS[k + 2], now, run_id)
        redis.call('ZADD', rr .. ':runs', now, run_id)
        redis.call('SADD', rr .. ':active', run_id)
        redis.call('HSET', rr, 'index', index, 'last_us', slot, 'next_us', next_slot,
            'waiting', 0, 'error', '')
        if next_slot == '0' then
            redis.call('ZREM', due, id)
        else
            redis.call('ZADD', due, next_slot, id)
        end
        redis.call('XADD', events, '*', 'e', ARGV[a + 9])
        result = 1
    end
    out[i] = result
    k = k + 3
    a = a + 10
end
return out
