-- SPDX-License-Identifier: Apache-2.0
-- Take a shard whose epoch is still the one that was seen. Epochs come from the clock, so that a
-- Redis that has lost its last writes does not give one out twice; and they only grow.
-- KEYS: 1 epoch, 2 owner, 3 knocks, 4 knocks:ids
-- ARGV: 1 the epoch that was seen, 0: none, 2 our instance
-- Result: {1 taken | 0 somebody was faster, epoch now, knocks}.
local held = redis.call('GET', KEYS[1]) or '0'
local knocks = redis.call('GET', KEYS[3]) or '0'
if held ~= ARGV[1] then
    return {0, held, knocks}
end
local now = redis.call('TIME')
local epoch = string.format('%.0f', math.max(now[1] * 1000000 + now[2], held + 1))
redis.call('SET', KEYS[1], epoch)
redis.call('SET', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[4])
return {1, epoch, knocks}
