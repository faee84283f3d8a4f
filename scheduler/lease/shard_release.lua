-- SPDX-License-Identifier: Apache-2.0
-- Give a shard up: nobody holds it, and what its holder still sends is refused.
-- KEYS: 1 epoch, 2 owner
-- ARGV: 1 the epoch that we hold
-- Result: 1 released, 0 it was not ours.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], string.format('%.0f', ARGV[1] + 1))
redis.call('SET', KEYS[2], '')
return 1
