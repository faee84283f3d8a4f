-- SPDX-License-Identifier: Apache-2.0
-- Runs that may have a workspace, are not live any more, and are not to be kept for some time.
--
-- KEYS: 1 workspaces, 2 live, 3 expiry
-- ARGV: 1 how many at the most
-- Result: their ids.
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    if #found >= tonumber(ARGV[1]) then
        break
    end
    if not redis.call('ZSCORE', KEYS[2], id) and not redis.call('ZSCORE', KEYS[3], id) then
        found[#found + 1] = id
    end
end
return found
