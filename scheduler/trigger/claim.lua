-- SPDX-License-Identifier: Apache-2.0
-- Claim ticks of one shard that are due, or ahead of an instant those that will be due then: many recurring
-- runs, at most one tick of each. The daemon has worked out what each tick leads to, as new texts of the
-- recurring run's progress; here it is compared and swapped, all or nothing for each. A tick is fired (the
-- progress moves on, its run is born and told of in the events), or, when as many runs as are allowed are
-- active, what is to happen then: it waits for a free place, or is passed over. A tick that was claimed by the
-- same call before (its answer was lost) is answered in the same way.
--
-- Everything is read before anything is written, and each key is read and written once for all ticks:
-- Redis takes about ten times longer to begin a command than to carry out one more of its fields.
--
-- Ahead of their instant only what fires is claimed, and it stays hidden until then (ahead.lua.in).
--
-- KEYS: 1 epoch, 2 due, 3 progress, 4 born, 5 events; ahead: 4 born:<at>, 5 ahead, 6 ahead:<at>:undo, 7 births
-- ARGV: 1 epoch, 2 how far the daemon's clock was moved (us; tests), 3 number of ticks, 4 key prefix,
--       5 ledger entries kept, 6 the instant that these are claimed ahead of (us) or 0, then the ids of the
--       recurring runs, then for each tick:
--       kind: "f" or "p"; the progress that was read; runs that may be active (0: any number, -1: never
--       fire); not before (us); new progress; when it is due next (us; 0 never); run id;
--       the run to be (born.lua.in); event ("" ahead);
--       and of kind "p" only: failures in a row that pause it (0: any number), mark, ledger line and event
--       besides when fired, then for when it cannot fire: new progress ("" as it is), due (us; 0: not in `due`), mark,
--       ledger lines, events, each with newlines between.
--       A mark is "" to leave `<id>:waiting` alone, "0" to take it away, else its new value.
-- Result: {Redis's clock in us, for each tick 1 fired, 2 may not fire (kind "f": nothing is changed, ask with kind
--       "p"), 3 gone (deleted), 0 stale (somebody changed it: read it again), 5 not due by Redis's clock,
--       6 waits or was passed over, 7 failed too often}. FENCED.
--@include ../base/clock.lua.in
local call = redis.call
if call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
local STALE, FIRED, FULL, GONE, EARLY, PASSED, FAILING = 0, 1, 2, 3, 5, 6, 7
local clock = clock_us(ARGV[2])
local count, prefix, kept = tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local is_ahead, base = ARGV[6] ~= '0', 6
-- Its group may have happened (this claim was long under way), and nobody would look for it once more; or runs
-- of it have been born (a clock was set back), and what is added would be seen at once.
local is_past = is_ahead and (clock >= tonumber(ARGV[6]) or call('HEXISTS', KEYS[7], ARGV[6]) == 1)

local fields = {}
for i = 1, count do
    local id = ARGV[base + i]
    fields[2 * i - 1] = id
    fields[2 * i] = id .. ':active'
end
local was = call('HMGET', KEYS[3], unpack(fields))

local out = {string.format('%.0f', clock)}
-- Arguments of the commands for all: field, value, field, value ... and score, member ...
local progress, no_progress, due, not_due, born, events, ledger, undo = {}, {}, {}, {}, {}, {}, {}, {}
local function put(list, a, b)
    local n = #list
    list[n + 1] = a
    list[n + 2] = b
end
local function put_events(texts)
    for text in texts:gmatch('[^\n]+') do
        put(events, 'e', text)
    end
end
local function put_due(id, at)
    if at == '0' then
        not_due[#not_due + 1] = id
    else
        put(due, at, id)
    end
end
local function put_mark(id, mark)
    if mark == '0' then
        no_progress[#no_progress + 1] = id .. ':waiting'
    elseif mark ~= '' then
        put(progress, id .. ':waiting', mark)
    end
end

local a = base + 1 + count
for i = 1, count do
    local id, is_policy = ARGV[base + i], ARGV[a] == 'p'
    local there, active = was[2 * i - 1], tonumber(was[2 * i] or 0)
    local limit = tonumber(ARGV[a + 2])
    if not there then
        not_due[#not_due + 1] = id
        out[i + 1] = GONE
    elseif there ~= ARGV[a + 1] then
        out[i + 1] = there == ARGV[a + 4] and limit >= 0 and FIRED or STALE
    elseif is_past or tonumber(ARGV[a + 3]) > clock then
        out[i + 1] = EARLY
    elseif is_policy and ARGV[a + 9] ~= '0' and tonumber(call('HGET', KEYS[3], id .. ':fails') or 0) >=
        tonumber(ARGV[a + 9]) then
        out[i + 1] = FAILING
    elseif limit == 0 or active < limit then
        put(progress, id, ARGV[a + 4])
        put(progress, id .. ':active', active + 1)
        put_due(id, ARGV[a + 5])
        put(born, ARGV[a + 6], ARGV[a + 7])
        if is_ahead then
            put(undo, id, ARGV[a + 6] .. '\n' .. there .. '\n' .. ARGV[a + 4])
        else
            put(events, 'e', ARGV[a + 8])
        end
        if is_policy then
            put_mark(id, ARGV[a + 10])
            put(ledger, id, ARGV[a + 11])
            put_events(ARGV[a + 12])
        end
        out[i + 1] = FIRED
    elseif not is_policy then
        out[i + 1] = FULL
    else
        if ARGV[a + 13] ~= '' then
            put(progress, id, ARGV[a + 13])
        end
        put_due(id, ARGV[a + 14])
        put_mark(id, ARGV[a + 15])
        put(ledger, id, ARGV[a + 16])
        put_events(ARGV[a + 17])
        out[i + 1] = PASSED
    end
    a = a + (is_policy and 18 or 9)
end

if #not_due > 0 then
    call('ZREM', KEYS[2], unpack(not_due))
end
if #due > 0 then
    call('ZADD', KEYS[2], unpack(due))
end
if #progress > 0 then
    call('HSET', KEYS[3], unpack(progress))
end
if #no_progress > 0 then
    call('HDEL', KEYS[3], unpack(no_progress))
end
if #born > 0 then
    call('HSET', KEYS[4], unpack(born))
end
for i = 1, #ledger, 2 do
    local key = prefix .. 'rr:' .. ledger[i] .. ':ticks'
    for line in ledger[i + 1]:gmatch('[^\n]+') do
        call('LPUSH', key, line)
        call('LTRIM', key, 0, kept - 1)
    end
end
if #undo > 0 then
    call('HSET', KEYS[6], unpack(undo))
    call('ZADD', KEYS[5], ARGV[6], ARGV[6])
elseif #events > 0 then
    call('XADD', KEYS[5], '*', unpack(events))
end
return out
