-- SPDX-License-Identifier: Apache-2.0
-- What messages told last of these refs.
-- KEYS: 1 git:<id>:seen, 2 git:<id>:seen_at
-- ARGV: keys of refs
-- Result: of each, where it went last or '', and when (us) that was told.
local out = {}
for i, ref in ipairs(ARGV) do
    local entry = redis.call('HGET', KEYS[1], 'r:' .. ref) or ''
    out[2 * i - 1] = entry:match(' (%S+)$') or ''
    out[2 * i] = redis.call('ZSCORE', KEYS[2], 'r:' .. ref) or '0'
end
return out
