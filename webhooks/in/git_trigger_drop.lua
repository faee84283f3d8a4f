-- SPDX-License-Identifier: Apache-2.0
-- KEYS: 1 git_triggers, 2 git_polls
-- ARGV: 1 id
-- Result: 1, or 0 when there was none.
redis.call('SREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
