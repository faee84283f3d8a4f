-- SPDX-License-Identifier: Apache-2.0
-- Write the epoch of a daemon that takes a shard over. It only grows: a daemon that was stalled
-- between asking for its epoch and writing it must not put out one that came later.
--
-- KEYS: 1 epoch
-- ARGV: 1 the new epoch
-- Result: the epoch. FENCED.
local held = tonumber(redis.call('GET', KEYS[1]) or '0')
if held > tonumber(ARGV[1]) then
    return redis.error_reply('FENCED a daemon that came later has taken over (its epoch is ' ..
        held .. ', ours ' .. ARGV[1] .. ')')
end
redis.call('SET', KEYS[1], ARGV[1])
return tonumber(ARGV[1])
