-- SPDX-License-Identifier: Apache-2.0
-- Read recurring runs of one shard.
-- KEYS: for each rr:<id>, rr:<id>:active
-- Result: for each {number of active runs, fields and values flat}; without fields: gone.
local out = {}
for i = 1, #KEYS, 2 do
    out[#out + 1] = {redis.call('SCARD', KEYS[i + 1]), redis.call('HGETALL', KEYS[i])}
end
return out
