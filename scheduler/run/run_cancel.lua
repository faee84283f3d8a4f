-- SPDX-License-Identifier: Apache-2.0
-- Ask a live run to end. A run that has ended is left alone; of one that was asked already the
-- requests are counted, each once.
-- KEYS: 1 epoch, 2 run:<id>, 3 events
-- ARGV: 1 the epoch that we hold or 0, 2 id, 3 history entry, 4 event, 5 name of this request
-- Result: the run's fields and values, flat. NOSUCH.
--@include ../base/knock.lua.in
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    knock(KEYS[1], 'run ' .. ARGV[2])
end
local fields = redis.call('HMGET', KEYS[2], 'state', 'history', 'cancel')
local state, history, last = fields[1], fields[2], fields[3]
if not state then
    return redis.error_reply('NOSUCH run ' .. ARGV[2] .. ' does not exist')
end
if state == 'PENDING' or state == 'RUNNING' then
    if not history or #history < 3 then
        history = '[' .. ARGV[3] .. ']'
    else
        history = history:sub(1, -2) .. ',' .. ARGV[3] .. ']'
    end
    redis.call('HSET', KEYS[2], 'state', 'CANCELING', 'history', history)
    redis.call('XADD', KEYS[3], '*', 'e', ARGV[4])
end
if (state == 'PENDING' or state == 'RUNNING' or state == 'CANCELING') and last ~= ARGV[5] then
    redis.call('HINCRBY', KEYS[2], 'cancels', 1)
    redis.call('HSET', KEYS[2], 'cancel', ARGV[5])
end
return redis.call('HGETALL', KEYS[2])
