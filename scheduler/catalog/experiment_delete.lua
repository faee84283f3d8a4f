-- SPDX-License-Identifier: Apache-2.0
-- Delete an experiment. Its runs and recurring runs stay.
-- KEYS: 1 experiment:<id>, 2 experiments, 3 experiment_names
-- ARGV: 1 id, 2 name of the experiment that must stay
-- Result: 1. NOSUCH, CONFLICT.
local record = redis.call('GET', KEYS[1])
if not record then
    return redis.error_reply('NOSUCH experiment ' .. ARGV[1] .. ' does not exist')
end
local name = cjson.decode(record)['name']
if name == ARGV[2] then
    return redis.error_reply('CONFLICT experiment ' .. ARGV[1] .. " is the default experiment '" ..
        name .. "', where runs go that name none; it cannot be deleted")
end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HGET', KEYS[3], name) == ARGV[1] then
    redis.call('HDEL', KEYS[3], name)
end
return 1
