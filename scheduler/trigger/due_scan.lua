-- SPDX-License-Identifier: Apache-2.0
-- What is due in one shard until an instant, earliest first, and when the next one is due.
-- KEYS: 1 due, 2 rrs, 3 rr_counts, 4 ahead
-- ARGV: 1 until (us, inclusive), 2 at most so many, 3 how far the daemon's clock was moved (us; tests), 4 key prefix
-- Result: {{id, ...}, next_us of the last of them or "", next_us of the first one after `until`
--       or "", number of recurring runs, number of enabled ones, runs that have no records yet,
--       Redis's clock (us), {instants of what was claimed ahead, ...}}
--@include ../base/clock.lua.in
--@include ../run/born.lua.in
local rows = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'WITHSCORES', 'LIMIT', 0,
    ARGV[2])
local ids = {}
for i = 1, #rows, 2 do
    ids[#ids + 1] = rows[i]
end
local after = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT',
    0, 1)
return {ids, rows[#rows] or '', after[2] or '', redis.call('ZCARD', KEYS[2]),
    redis.call('HGET', KEYS[3], 'enabled') or '0', born_count(ARGV[4]),
    string.format('%.0f', clock_us(ARGV[3])),
    redis.call('ZRANGE', KEYS[4], 0, -1)}
