-- SPDX-License-Identifier: Apache-2.0
-- A run was given its slots: whoever carries its shard on is to look (contrib/docs/storage.md, knocks).
-- KEYS: 1 knocks, 2 knocks:ids
-- ARGV: 1 run id
-- Result: 1.
redis.call('INCR', KEYS[1])
redis.call('RPUSH', KEYS[2], 'run ' .. ARGV[1])
redis.call('LTRIM', KEYS[2], -256, -1)
return 1
