-- SPDX-License-Identifier: Apache-2.0
-- Take due deliveries for sending: each is hidden until its lease ends, so that a claim whose
-- answer is lost is made again. Those of a subscription without room are parked, in their order, and cost
-- nothing until a claim names the subscription.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  epoch  ARGV[3]  now_us  ARGV[4]  lease until (us)  ARGV[5]  at most
-- ARGV[6]  room of a subscription that is not named
-- ARGV[7]  how many subscriptions follow that may have parked ones and have room, most urgent first
-- then those; then pairs: subscription id, its room
-- Result: [next_us of the earliest that remains or -1, how many have not ended, {subscriptions that have
-- some parked now}, {subscriptions that have none parked any more}, then per delivery {id, HGETALL}]
local p, deliveries, most, names = ARGV[1], ARGV[1] .. 'deliveries', tonumber(ARGV[5]), tonumber(ARGV[7])
local LOOK_MAX = 1000
if redis.call('GET', p .. 'epoch') ~= ARGV[2] then
    return redis.error_reply('FENCED another daemon owns this shard')
end
local rooms, rest = {}, tonumber(ARGV[6])
for i = 8 + names, #ARGV, 2 do rooms[ARGV[i]] = tonumber(ARGV[i + 1]) end
local function parked_key(sub) return p .. 'subscription:' .. sub .. ':parked' end

local taken, parked, emptied = {}, {}, {}
local function take(id, sub, fields)
    rooms[sub] = (rooms[sub] or rest) - 1
    redis.call('ZADD', deliveries, ARGV[4], id)
    redis.call('SADD', p .. 'sending', id)
    taken[#taken + 1] = {id, fields}
end

local function take_parked(limit)
    for i = 8, 7 + names do
        local sub = ARGV[i]
        local key, room = parked_key(sub), math.min(rooms[sub] or rest, limit - #taken)
        if room > 0 then
            for _, id in ipairs(redis.call('ZRANGE', key, 0, room - 1)) do
                redis.call('ZREM', key, id)
                local fields = redis.call('HGETALL', p .. 'delivery:' .. id)
                if #fields > 0 then take(id, sub, fields) end
            end
            if redis.call('EXISTS', key) == 0 then
                redis.call('SREM', p .. 'parked', sub)
                emptied[sub] = true
            end
        end
    end
end

local function take_due(limit)
    local looked = 0
    while #taken < limit and looked < LOOK_MAX do
        local due = redis.call('ZRANGEBYSCORE', deliveries, '-inf', ARGV[3], 'WITHSCORES', 'LIMIT', 0, limit)
        if #due == 0 then return end
        for i = 1, #due, 2 do
            if #taken == limit then return end
            looked = looked + 1
            local id = due[i]
            local sub = redis.call('HGET', p .. 'delivery:' .. id, 'subscription')
            if not sub then
                redis.call('ZREM', deliveries, id)
            elseif (rooms[sub] or rest) <= 0 then
                redis.call('ZREM', deliveries, id)
                redis.call('ZADD', parked_key(sub), due[i + 1], id)
                redis.call('SADD', p .. 'parked', sub)
                parked[sub] = true
                emptied[sub] = nil
            else
                take(id, sub, redis.call('HGETALL', p .. 'delivery:' .. id))
            end
        end
    end
end

take_parked(most - math.floor(most / 4)) -- neither keeps the other from its turn
take_due(most)
take_parked(most)

local function keys_of(set)
    local out = {}
    for sub in pairs(set) do out[#out + 1] = sub end
    return out
end
local first = redis.call('ZRANGE', deliveries, 0, 0, 'WITHSCORES')
local out = {first[2] or '-1', redis.call('HGET', p .. 'deliveries_stats', 'count') or '0', keys_of(parked), keys_of(emptied)}
for _, row in ipairs(taken) do out[#out + 1] = row end
return out
