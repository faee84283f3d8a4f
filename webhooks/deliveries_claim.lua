-- SPDX-License-Identifier: Apache-2.0
-- Take due deliveries for sending: each is hidden until its lease ends, so that a crash in the
-- middle of an attempt sends it again later.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  epoch  ARGV[3]  now_us  ARGV[4]  lease until (us)  ARGV[5]  at most
-- Result: [next_us of the earliest that remains or -1, then per delivery {id, HGETALL}]
local p = ARGV[1]
if redis.call('GET', p .. 'epoch') ~= ARGV[2] then
    return redis.error_reply('FENCED another daemon owns this shard')
end
local due = redis.call('ZRANGEBYSCORE', p .. 'deliveries', '-inf', ARGV[3], 'LIMIT', 0, ARGV[5])
local out = {}
for _, id in ipairs(due) do
    local fields = redis.call('HGETALL', p .. 'delivery:' .. id)
    if #fields == 0 then
        redis.call('ZREM', p .. 'deliveries', id)
    else
        redis.call('ZADD', p .. 'deliveries', ARGV[4], id)
        out[#out + 1] = {id, fields}
    end
end
local first = redis.call('ZRANGE', p .. 'deliveries', 0, 0, 'WITHSCORES')
table.insert(out, 1, first[2] or '-1')
return out
