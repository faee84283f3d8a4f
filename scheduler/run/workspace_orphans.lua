-- SPDX-License-Identifier: Apache-2.0
-- Runs that may have a workspace and are not live any more.
--
-- KEYS: 1 workspaces, 2 live
-- ARGV: 1 how many at the most
-- Result: their ids.
local found = {}
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
    if #found >= tonumber(ARGV[1]) then
        break
    end
    if not redis.call('ZSCORE', KEYS[2], id) then
        found[#found + 1] = id
    end
end
return found
