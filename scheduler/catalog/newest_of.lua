-- SPDX-License-Identifier: Apache-2.0
-- The record of the newest member of an index.
-- KEYS: 1 index (zset)
-- ARGV: 1 what precedes an id in the key of a record
-- Result: the record, or nil when the index is empty.
local ids = redis.call('ZREVRANGE', KEYS[1], 0, 0)
if #ids == 0 then
    return nil
end
return redis.call('GET', ARGV[1] .. ids[1])
