-- SPDX-License-Identifier: Apache-2.0
-- What firing needs to know of some recurring runs.
-- KEYS: rr:<id> of each
-- Result: for each {doc, enabled, waiting, generation, index, last_us, anchor_us, next_us};
--       all nil for one that is gone, empty for a key of another kind.
local out = {}
for i, key in ipairs(KEYS) do
    local fields = redis.pcall('HMGET', key, 'doc', 'enabled', 'waiting', 'generation', 'index',
        'last_us', 'anchor_us', 'next_us')
    out[i] = fields.err and {} or fields
end
return out
