-- SPDX-License-Identifier: Apache-2.0
-- Save what the engine has done to one run: changed tasks, the run's own state, and the events
-- that report it, all or nothing. Saves are numbered; one that was done before is not repeated,
-- so a save whose answer was lost may simply be sent again.
--
-- KEYS: 1 epoch, 2 run:<id>, 3 run:<id>:tasks, 4 events, 5 live, 6 finished, 7 expiry,
--       and for a recurring run's: 8 progress, 9 due
-- ARGV: 1 epoch, 2 run id, 3 number of this save,
--       4 new state or "", 5 history entries for it (joined by commas), 6 "1" when it is final,
--       7 started_us, 8 finished_us, 9 error, 10 outputs, 11 recurring run id or "",
--       12 when what is left of it expires or 0, 13 number of tasks, then path and record of each,
--       number of events, then each,
--       the run's notices as they are now, or ""
-- Result: {0 saved | 1 was saved before, state now}. FENCED, NOSUCH, CONFLICT: Redis has lost an
-- earlier save that it had confirmed.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
local fields = redis.call('HMGET', KEYS[2], 'state', 'rev', 'history')
local state, rev, history = fields[1], tonumber(fields[2] or '0') or 0, fields[3]
if not state then
    return redis.error_reply('NOSUCH run ' .. ARGV[2] .. ' does not exist')
end
if rev >= tonumber(ARGV[3]) then
    return {1, state}
end
if rev < tonumber(ARGV[3]) - 1 then
    return redis.error_reply('CONFLICT save ' .. ARGV[3] .. ' of run ' .. ARGV[2] ..
        ' follows one that is not here; the last one that is here is ' .. rev)
end
redis.call('HSET', KEYS[2], 'rev', ARGV[3])

local at = 13
local count = tonumber(ARGV[at])
for _ = 1, count do
    redis.call('HSET', KEYS[3], ARGV[at + 1], ARGV[at + 2])
    at = at + 2
end
at = at + 1
count = tonumber(ARGV[at])
for i = 1, count do
    redis.call('XADD', KEYS[4], '*', 'e', ARGV[at + i])
end
local notices = ARGV[at + count + 1]
if notices ~= '' then
    redis.call('HSET', KEYS[2], 'notices', notices)
end

local new, final = ARGV[4], ARGV[6] == '1'
if new == '' then
    return {0, state}
end
redis.call('HSET', KEYS[2], 'started_us', ARGV[7])
if not final then
    -- Somebody may have asked the run to end while it was starting: that request stays.
    if state ~= 'PENDING' then
        return {0, state}
    end
end
if not history or #history < 3 then
    history = '[' .. ARGV[5] .. ']'
else
    history = history:sub(1, -2) .. ',' .. ARGV[5] .. ']'
end
redis.call('HSET', KEYS[2], 'state', new, 'history', history)
if not final then
    return {0, new}
end

redis.call('HSET', KEYS[2], 'finished_us', ARGV[8], 'error', ARGV[9], 'outputs', ARGV[10])
local was_live = redis.call('ZREM', KEYS[5], ARGV[2]) == 1
redis.call('ZADD', KEYS[6], ARGV[8], ARGV[2])
if tonumber(ARGV[12]) > 0 then
    redis.call('ZADD', KEYS[7], ARGV[12], ARGV[2])
end
if ARGV[11] ~= '' and was_live then
    local of = ARGV[11]
    local rest = redis.call('HMGET', KEYS[8], of, of .. ':active', of .. ':waiting', of .. ':fails')
    local active = tonumber(rest[2] or '0')
    if active > 1 then
        redis.call('HSET', KEYS[8], of .. ':active', active - 1)
    elseif active == 1 then
        redis.call('HDEL', KEYS[8], of .. ':active')
    end
    if rest[4] and new == 'FAILED' then
        redis.call('HINCRBY', KEYS[8], of .. ':fails', 1)
    elseif rest[4] and new == 'SUCCEEDED' then
        redis.call('HSET', KEYS[8], of .. ':fails', 0)
    end
    if rest[3] then
        redis.call('HDEL', KEYS[8], of .. ':waiting')
        redis.call('ZADD', KEYS[9], rest[3], of)
    end
end
return {0, new}
