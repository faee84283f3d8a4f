-- SPDX-License-Identifier: Apache-2.0
-- Claim due ticks of one shard: many recurring runs, at most one tick of each. A tick is fired
-- (the recurring run advances, its run is created, the event is written), or it waits for a free
-- place under max_concurrency, or it is not due any more. A tick that was fired by the same claim
-- before (its answer was lost) is found by its run and answered in the same way.
--
-- Everything is read before anything is written, so what cannot be read spoils nothing; and the
-- indexes that ticks share are written once for all of them, because Redis takes longer to begin
-- a command than to add to a set.
--
-- KEYS: 1 epoch, 2 due, 3 runs, 4 live, 5 events,
--       then for each tick: rr:<id>, run:<id>, experiment:<id>:runs
-- ARGV: 1 epoch, 2 now_us, 3 history of a new run, then for each tick: recurring run id,
--       the next_us that was read, generation, index of this firing, slot that is fired,
--       next slot (0: never again), max_concurrency, run id, run doc, event
-- Result: for each tick 1 fired, 2 waiting, 3 gone (deleted or disabled), 0 stale (somebody
--       changed it: read it again), 4 its keys cannot be written. FENCED.
local call, pcall = redis.call, redis.pcall
if call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
local now, history = ARGV[2], ARGV[3]
local count = (#KEYS - 5) / 3
local out, read = {}, {}
local STALE, FIRED, WAITING, GONE, FAILED = 0, 1, 2, 3, 4

for i = 1, count do
    local k, a = 3 + 3 * i, 10 * i - 6
    local was = call('HMGET', KEYS[k], 'enabled', 'generation', 'next_us', 'index', 'active',
        'waiting', 'error')
    if not was[1] then
        out[i] = GONE
    elseif was[2] ~= ARGV[a + 2] or was[3] ~= ARGV[a + 1] or
        tonumber(was[4]) + 1 ~= tonumber(ARGV[a + 3]) then
        out[i] = call('EXISTS', KEYS[k + 1]) == 1 and FIRED or STALE
    elseif was[1] ~= '1' then
        out[i] = GONE
    elseif tonumber(was[5] or 0) >= tonumber(ARGV[a + 6]) then
        out[i] = WAITING
    else
        read[i] = was
    end
end

-- Arguments of the commands for all: score, member, score, member ...
local not_due, due, created, experiments = {}, {}, {}, {}
for i = 1, count do
    local k, a = 3 + 3 * i, 10 * i - 6
    local id, was = ARGV[a], read[i]
    if was then
        local rr, run, run_id = KEYS[k], KEYS[k + 1], ARGV[a + 7]
        local slot, next_slot = ARGV[a + 4], ARGV[a + 5]
        local done = pcall('ZADD', rr .. ':runs', now, run_id)
        if type(done) ~= 'table' then
            done = pcall('HSET', run, 'v', 1, 'doc', ARGV[a + 8], 'rr', id, 'state', 'PENDING',
                'created_us', now, 'scheduled_us', slot, 'history', history, 'storage',
                'AVAILABLE')
            if type(done) == 'table' then
                call('ZREM', rr .. ':runs', run_id)
            end
        end
        if type(done) == 'table' then
            out[i] = FAILED
        else
            local active = tonumber(was[5] or 0) + 1
            if was[6] == '0' and was[7] == '' then
                call('HSET', rr, 'index', ARGV[a + 3], 'last_us', slot, 'next_us', next_slot,
                    'active', active)
            else
                call('HSET', rr, 'index', ARGV[a + 3], 'last_us', slot, 'next_us', next_slot,
                    'active', active, 'waiting', 0, 'error', '')
            end
            if next_slot == '0' then
                not_due[#not_due + 1] = id
            else
                due[#due + 1] = next_slot
                due[#due + 1] = id
            end
            created[#created + 1] = now
            created[#created + 1] = run_id
            local runs = experiments[KEYS[k + 2]]
            if not runs then
                runs = {}
                experiments[KEYS[k + 2]] = runs
            end
            runs[#runs + 1] = now
            runs[#runs + 1] = run_id
            call('XADD', KEYS[5], '*', 'e', ARGV[a + 9])
            out[i] = FIRED
        end
    elseif out[i] == WAITING then
        call('HSET', KEYS[k], 'waiting', 1)
        not_due[#not_due + 1] = id
    elseif out[i] == GONE then
        not_due[#not_due + 1] = id
    end
end

if #not_due > 0 then
    call('ZREM', KEYS[2], unpack(not_due))
end
if #due > 0 then
    call('ZADD', KEYS[2], unpack(due))
end
if #created > 0 then
    call('ZADD', KEYS[3], unpack(created))
    call('ZADD', KEYS[4], unpack(created))
    for key, runs in pairs(experiments) do
        call('ZADD', key, unpack(runs))
    end
end
return out
