-- SPDX-License-Identifier: Apache-2.0
-- Read one run, all at one instant.
-- KEYS: 1 run:<id>, 2 run:<id>:tasks
-- ARGV: 1 id, 2 "1" to read the tasks too, 3 key prefix
-- Result: {run fields and values flat, {task record, ...}}. NOSUCH.
--@include born.lua.in
local run = redis.call('HGETALL', KEYS[1])
if #run == 0 and hatch(ARGV[3], ARGV[1]) then
    run = redis.call('HGETALL', KEYS[1])
end
if #run == 0 then
    return redis.error_reply('NOSUCH run ' .. ARGV[1] .. ' does not exist')
end
local tasks = {}
if ARGV[2] == '1' then
    tasks = redis.call('HVALS', KEYS[2])
end
return {run, tasks}
