-- SPDX-License-Identifier: Apache-2.0
-- Send those of one subscription again that are in this state, and of this time.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  now_us  ARGV[3]  name of the request  ARGV[4]  subscription id
-- ARGV[5]  state, "": whatever has ended  ARGV[6]  created from (us; "(" in front: after)
-- ARGV[7]  created until (us)  ARGV[8]  at most this many are looked at
-- Result: [created_us of the last one looked at, "": that was all; how many are due now because of this]
local p = ARGV[1]
--@include delivery.lua.in
--@include redeliver.lua.in
local rows = redis.call('ZRANGEBYSCORE', log_of(ARGV[4]), ARGV[6], ARGV[7], 'WITHSCORES', 'LIMIT', 0, ARGV[8])
local count = 0
for i = 1, #rows, 2 do
    local state = redis.call('HGET', key_of(rows[i]), 'state')
    if state == ARGV[5] or (ARGV[5] == '' and state ~= 'PENDING') then
        if redeliver(rows[i], ARGV[2], ARGV[3]) then count = count + 1 end
    end
end
return {#rows == 2 * tonumber(ARGV[8]) and rows[#rows] or '', count}
