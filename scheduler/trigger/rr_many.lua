-- SPDX-License-Identifier: Apache-2.0
-- Read recurring runs of one shard.
-- KEYS: for each rr:<id>
-- Result: for each its fields and values, flat; without fields: gone.
local out = {}
for i, key in ipairs(KEYS) do
    out[i] = redis.call('HGETALL', key)
end
return out
