-- SPDX-License-Identifier: Apache-2.0
-- Turn a batch of events into deliveries and move the cursor, once.
-- KEYS[1]  shard prefix with "events_cursor" appended (names the slot)
-- ARGV[1]  shard prefix          ARGV[2]  epoch
-- ARGV[3]  cursor as we know it  ARGV[4]  new cursor
-- ARGV[5]  now_us
-- then for each: delivery id, subscription id, event id, type, body, its content type, its own
-- headers as JSON ("" for none), run id ("" for none)
-- Scores keep the order of the events, also of those that came in the same microsecond.
-- Result: number of new deliveries; CONFLICT if the cursor has moved.
local p = ARGV[1]
if redis.call('GET', p .. 'epoch') ~= ARGV[2] then
    return redis.error_reply('FENCED another daemon owns this shard')
end
local cursor = redis.call('GET', p .. 'events_cursor') or '0-0'
if cursor ~= ARGV[3] then
    return redis.error_reply('CONFLICT the cursor is at ' .. cursor)
end
local now, made, at = tonumber(ARGV[5]), 0, 6
local last = tonumber(redis.call('GET', p .. 'deliveries_last') or 0)
if last > now + 1000000 then last = 0 end -- the clock was set back
while at <= #ARGV do
    local id, sub, event, kind, body = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local content_type, headers, run = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
    at = at + 8
    local key = p .. 'delivery:' .. id
    if redis.call('EXISTS', key) == 0 then
        last = math.max(now, last + 1)
        local due = string.format('%.0f', last)
        redis.call('HSET', key, 'v', '1', 'subscription', sub, 'event', event, 'type', kind, 'body', body,
            'content_type', content_type, 'run', run, 'created_us', due, 'next_us', due, 'state', 'PENDING',
            'attempts', '0')
        if headers ~= '' then redis.call('HSET', key, 'headers', headers) end
        redis.call('ZADD', p .. 'deliveries', due, id)
        made = made + 1
    end
end
if made > 0 then redis.call('SET', p .. 'deliveries_last', string.format('%.0f', last)) end
redis.call('SET', p .. 'events_cursor', ARGV[4])
-- Everything up to the cursor has been handled; nothing else reads the stream.
redis.call('XTRIM', p .. 'events', 'MINID', ARGV[4])
return made
