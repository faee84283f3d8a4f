-- SPDX-License-Identifier: Apache-2.0
-- Where a run waits.
-- KEYS: 1 entries (all keys of pools have its tag)
-- ARGV: 1 key prefix, 2 run id
-- Result: {pool that it waits for, its place in that queue}; {} when it does not wait.
--@include pools.lua.in
local P, id = ARGV[1], ARGV[2]
local e = entry_read(P, id)
if not e or e.held then
    return {}
end
local queue = queue_of(e)
local rank = redis.call('ZRANK', P .. 'queue:' .. queue, member_of(id, e))
return {room(P, queue) <= 0 and queue or 'default', (rank or 0) + 1}
