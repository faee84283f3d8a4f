-- SPDX-License-Identifier: Apache-2.0
-- Read several runs of one shard; those that are gone are empty lists.
-- KEYS: run:<id> of each
-- Result: {run fields and values flat, ...}, in the order of KEYS.
local out = {}
for i, key in ipairs(KEYS) do
    out[i] = redis.call('HGETALL', key)
end
return out
