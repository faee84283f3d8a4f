-- SPDX-License-Identifier: Apache-2.0
-- Take due deliveries for sending: each is hidden until its lease ends, so that a claim whose
-- answer is lost is made again. Those of a subscription without room are parked, in their order,
-- and come back here when it has some: they cost nothing while they wait.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  epoch  ARGV[3]  now_us  ARGV[4]  lease until (us)  ARGV[5]  at most
-- ARGV[6]  room of a subscription that is not named; then pairs: subscription id, its room
-- Result: [next_us of the earliest that remains or -1, how many have not ended, 1 if some are
-- parked, then per delivery {id, HGETALL}]
local p, deliveries, most = ARGV[1], ARGV[1] .. 'deliveries', tonumber(ARGV[5])
local LOOK_MAX = 1000
if redis.call('GET', p .. 'epoch') ~= ARGV[2] then
    return redis.error_reply('FENCED another daemon owns this shard')
end
local rooms = {}
for i = 7, #ARGV, 2 do rooms[ARGV[i]] = tonumber(ARGV[i + 1]) end
local function room_of(sub) return rooms[sub] or tonumber(ARGV[6]) end
local function parked_key(sub) return p .. 'subscription:' .. sub .. ':parked' end

for _, sub in ipairs(redis.call('SMEMBERS', p .. 'parked')) do
    local room, key = room_of(sub), parked_key(sub)
    local back = room > 0 and redis.call('ZRANGE', key, 0, room - 1, 'WITHSCORES') or {}
    for i = 1, #back, 2 do
        redis.call('ZADD', deliveries, back[i + 1], back[i])
        redis.call('ZREM', key, back[i])
    end
    if redis.call('EXISTS', key) == 0 then redis.call('SREM', p .. 'parked', sub) end
end

local function take(out, id, score)
    local fields = redis.call('HGETALL', p .. 'delivery:' .. id)
    if #fields == 0 then
        redis.call('ZREM', deliveries, id)
        return
    end
    local sub = redis.call('HGET', p .. 'delivery:' .. id, 'subscription')
    local room = room_of(sub)
    if room <= 0 then
        redis.call('ZREM', deliveries, id)
        redis.call('ZADD', parked_key(sub), score, id)
        redis.call('SADD', p .. 'parked', sub)
        return
    end
    rooms[sub] = room - 1
    redis.call('ZADD', deliveries, ARGV[4], id)
    redis.call('SADD', p .. 'sending', id)
    out[#out + 1] = {id, fields}
end

local taken, looked = {}, 0
while #taken < most and looked < LOOK_MAX do
    local due = redis.call('ZRANGEBYSCORE', deliveries, '-inf', ARGV[3], 'WITHSCORES', 'LIMIT', 0, most)
    if #due == 0 then break end
    for i = 1, #due, 2 do
        if #taken == most then break end
        looked = looked + 1
        take(taken, due[i], due[i + 1])
    end
end

local first = redis.call('ZRANGE', deliveries, 0, 0, 'WITHSCORES')
local waiting, parked = redis.call('ZCARD', deliveries), redis.call('SMEMBERS', p .. 'parked')
for _, sub in ipairs(parked) do waiting = waiting + redis.call('ZCARD', parked_key(sub)) end
local out = {first[2] or '-1', waiting, #parked > 0 and 1 or 0}
for _, row in ipairs(taken) do out[#out + 1] = row end
return out
