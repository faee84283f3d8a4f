-- SPDX-License-Identifier: Apache-2.0
-- The newest entry of the events, for a daemon that has nobody to tell of them.
-- KEYS: 1 events
-- ARGV: 1 the cursor as we know it
-- Result: its stream id, or nil when there is none after the cursor.
local newest = redis.call('XREVRANGE', KEYS[1], '+', '(' .. ARGV[1], 'COUNT', 1)[1]
return newest and newest[1]
