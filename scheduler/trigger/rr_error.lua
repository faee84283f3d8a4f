-- SPDX-License-Identifier: Apache-2.0
-- Write down why a recurring run cannot fire. The next firing clears it.
-- KEYS: 1 epoch, 2 rr:<id>
-- ARGV: 1 epoch, 2 index of the firing that does not come about, 3 error
-- Result: 1 written, 0 it is gone or has fired. FENCED.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return redis.error_reply('FENCED another daemon has taken over this shard')
end
local index = redis.call('HGET', KEYS[2], 'index')
if not index or tonumber(index) + 1 ~= tonumber(ARGV[2]) then
    return 0
end
redis.call('HSET', KEYS[2], 'error', ARGV[3])
return 1
