-- SPDX-License-Identifier: Apache-2.0
-- What firing needs to know of some recurring runs.
-- KEYS: rr:<id> of each
-- Result: for each {doc, enabled, waiting, generation, index, last_us, anchor_us, next_us};
--       all nil for one that is gone.
local out = {}
for i, key in ipairs(KEYS) do
    out[i] = redis.call('HMGET', key, 'doc', 'enabled', 'waiting', 'generation', 'index',
        'last_us', 'anchor_us', 'next_us')
end
return out
