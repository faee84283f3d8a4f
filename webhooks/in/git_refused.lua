-- SPDX-License-Identifier: Apache-2.0
-- Count a message that was not found genuine, and keep the last reasons.
-- ARGV: 1 the shard's key prefix, 2 trigger, 3 entry, 4 entries kept
local p = ARGV[1]
redis.call('HINCRBY', p .. 'git:' .. ARGV[2] .. ':counts', 'refused', 1)
redis.call('LPUSH', p .. 'git:' .. ARGV[2] .. ':refused', ARGV[3])
redis.call('LTRIM', p .. 'git:' .. ARGV[2] .. ':refused', 0, ARGV[4] - 1)
return 1
