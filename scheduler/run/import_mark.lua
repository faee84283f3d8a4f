-- SPDX-License-Identifier: Apache-2.0
-- Who imported this artifact first? Remembered for a while after it was imported last.
--
-- KEYS: 1 import:<artifact id>
-- ARGV: 1 task that imports it now, 2 for how many seconds
-- Result: id of the task that was first.
local first = redis.call('GET', KEYS[1])
if not first then
    first = ARGV[1]
end
redis.call('SET', KEYS[1], first, 'EX', ARGV[2])
return first
