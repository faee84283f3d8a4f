-- SPDX-License-Identifier: Apache-2.0
-- A pool with its holders and those that wait for it; or all pools in short.
-- KEYS: 1 entries (all keys of pools have its tag)
-- ARGV: 1 key prefix, 2 name or "" for all, 3 how many holders, and waiting runs, at the most
-- Result: {{name, slots or "", holders, waiting}, ...}, and of a single one behind that
-- {{id, priority, since_us, recurring run or "-"}, ...} of its holders, and of those that wait
-- {{the same, queue, place}, ...}. NOSUCH.
--@include pools.lua.in
local P, wanted, max = ARGV[1], ARGV[2], tonumber(ARGV[3])
local function short(name)
    local held = redis.call('ZCARD', P .. 'held:' .. name)
    local waiting = name == 'default' and redis.call('HLEN', P .. 'entries') - held or
        redis.call('ZCARD', P .. 'queue:' .. name)
    return {name, redis.call('HGET', P .. 'slots', name) or '', held, waiting}
end
if wanted == '' then
    local out = {short('default')}
    for _, name in ipairs(redis.call('HKEYS', P .. 'slots')) do
        if name ~= 'default' then
            out[#out + 1] = short(name)
        end
    end
    return out
end
if wanted ~= 'default' and redis.call('HEXISTS', P .. 'slots', wanted) == 0 then
    return redis.error_reply('NOSUCH pool ' .. wanted .. ' does not exist')
end
local function row_of(id)
    local e = entry_read(P, id)
    return {id, e.priority, e.since, e.flow}
end
local held, waiting = {}, {}
for _, id in ipairs(redis.call('ZRANGE', P .. 'held:' .. wanted, 0, max - 1)) do
    held[#held + 1] = row_of(id)
end
local names = wanted == 'default' and redis.call('ZRANGE', P .. 'queues', 0, QUEUES_MAX - 1) or {wanted}
for _, name in ipairs(names) do
    if #waiting >= max then
        break
    end
    for place, member in ipairs(redis.call('ZRANGE', P .. 'queue:' .. name, 0, max - #waiting - 1)) do
        local row = row_of(member:sub(18))
        row[5], row[6] = name, place
        waiting[#waiting + 1] = row
    end
end
return {short(wanted), held, waiting}
