-- SPDX-License-Identifier: Apache-2.0
-- A member is gone: it says so itself, or nobody has seen its record change for too long.
-- KEYS: 1 daemons
-- ARGV: 1 instance, 2 the record as it was seen last
-- Result: 1 removed, 0 it has changed since, or is gone already.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
    return 0
end
return redis.call('HDEL', KEYS[1], ARGV[1])
