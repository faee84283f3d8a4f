-- SPDX-License-Identifier: Apache-2.0
-- The refs of a repository were read, or could not be.
-- KEYS: 1 epoch
-- ARGV: 1 the shard's key prefix, 2 the epoch that we hold, 3 trigger, 4 now_us, 5 next_us,
--   6 what went wrong or '', 7 whose refs these are, 8 their digest or '' (not all were gone through),
--   9 how many there are, 10 'all' (those kept before are dropped) or ''; then pairs: a ref that has
--   been gone through, and where it is or '' when it is no more
-- Result: how often in a row it has failed. FENCED.
local P = ARGV[1] .. 'git:' .. ARGV[3] .. ':poll'
local refs = ARGV[1] .. 'git:' .. ARGV[3] .. ':refs'
if redis.call('GET', KEYS[1]) ~= ARGV[2] then
    return redis.error_reply('FENCED the shard is carried on by another daemon')
end
if ARGV[10] == 'all' then
    redis.call('DEL', refs)
end
for i = 11, #ARGV, 2 do
    if ARGV[i + 1] == '' then
        redis.call('HDEL', refs, ARGV[i])
    else
        redis.call('HSET', refs, ARGV[i], ARGV[i + 1])
    end
end
redis.call('HSET', P, 'next_us', ARGV[5])
if ARGV[6] ~= '' then
    redis.call('HSET', P, 'error', ARGV[6], 'error_us', ARGV[4])
    return redis.call('HINCRBY', P, 'failures', 1)
end
redis.call('HSET', P, 'last_us', ARGV[4], 'of', ARGV[7], 'digest', ARGV[8], 'refs', ARGV[9])
redis.call('HDEL', P, 'error', 'error_us', 'failures')
return 0
