-- SPDX-License-Identifier: Apache-2.0
-- Deliveries of one subscription in this shard, newest first.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  subscription id  ARGV[3]  at most
-- ARGV[4]  created until (us, or +inf)  ARGV[5]  created from (us)
-- ARGV[6]  state  ARGV[7]  event type, with a * at its end: what begins so  ARGV[8]  run id; "": any
-- Result: [created_us of the last one looked at, "": that was all; then per delivery {id, fields in the
-- order below}]
local p, at_most, first = ARGV[1], tonumber(ARGV[3]), 0
local LOOK_AT_ONCE, LOOK_MAX = 200, 4000
local log = p .. 'subscription:' .. ARGV[2] .. ':log'
local begins = ARGV[7]:sub(-1) == '*' and ARGV[7]:sub(1, -2)

local function is_wanted(state, kind, run)
    return state and (ARGV[6] == '' or state == ARGV[6]) and (ARGV[8] == '' or run == ARGV[8]) and
        (ARGV[7] == '' or kind == ARGV[7] or (begins and kind:sub(1, #begins) == begins))
end

local out = {''}
while true do
    local rows = redis.call('ZREVRANGEBYSCORE', log, ARGV[4], ARGV[5], 'WITHSCORES', 'LIMIT', first, LOOK_AT_ONCE)
    for i = 1, #rows, 2 do
        local v = redis.call('HMGET', p .. 'delivery:' .. rows[i], 'event', 'type', 'state', 'attempts', 'created_us', 'next_us',
            'status', 'error', 'duration_ms', 'run', 'sequence', 'redelivered')
        if is_wanted(v[3], v[2], v[10]) then
            local row = {rows[i]}
            for field = 1, 12 do row[field + 1] = v[field] or '' end
            out[#out + 1] = row
            if #out > at_most then
                out[1] = rows[i + 1]
                return out
            end
        end
    end
    if #rows < 2 * LOOK_AT_ONCE then return out end
    first = first + LOOK_AT_ONCE
    if first >= LOOK_MAX then
        out[1] = rows[#rows]
        return out
    end
end
