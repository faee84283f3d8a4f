-- SPDX-License-Identifier: Apache-2.0
-- Reading a pipeline from a repository has not worked: it is tried again, or (due 0) never.
-- KEYS: 1 epoch
-- ARGV: 1 the shard's key prefix, 2 the epoch that we hold, 3 "<trigger> <event>", 4 due_us or 0
-- Result: how often it has been tried. FENCED.
local p, fetch = ARGV[1], ARGV[3]
if redis.call('GET', KEYS[1]) ~= ARGV[2] then
    return redis.error_reply('FENCED the shard is carried on by another daemon')
end
if ARGV[4] == '0' or not redis.call('ZSCORE', p .. 'git_fetches', fetch) then
    redis.call('ZREM', p .. 'git_fetches', fetch)
    redis.call('HDEL', p .. 'git_fetch_tries', fetch)
    return 0
end
redis.call('ZADD', p .. 'git_fetches', 'XX', ARGV[4], fetch)
return redis.call('HINCRBY', p .. 'git_fetch_tries', fetch, 1)
