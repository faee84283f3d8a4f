-- SPDX-License-Identifier: Apache-2.0
-- Replace a record, unless somebody changed it since it was read.
-- KEYS: 1 the record
-- ARGV: 1 text that was read, 2 new text
-- Result: 1 replaced, 0 changed meanwhile, -1 gone.
local now = redis.call('GET', KEYS[1])
if not now then
    return -1
end
if now == ARGV[2] then
    return 1
end
if now ~= ARGV[1] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
