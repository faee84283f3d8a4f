-- SPDX-License-Identifier: Apache-2.0
-- The record that a name stands for.
-- KEYS: 1 names (hash)
-- ARGV: 1 name, 2 what precedes an id in the key of a record
-- Result: the record, or nil.
local id = redis.call('HGET', KEYS[1], ARGV[1])
if not id then
    return nil
end
return redis.call('GET', ARGV[2] .. id)
