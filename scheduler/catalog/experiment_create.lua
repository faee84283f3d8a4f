-- SPDX-License-Identifier: Apache-2.0
-- Create an experiment. The same id again gives what is there; a name is given once.
-- KEYS: 1 experiment:<id>, 2 experiments, 3 experiment_names
-- ARGV: 1 id, 2 name, 3 record, 4 created_us, 5 "1" to be content with the one that has this
--       name, 6 what precedes an id in KEYS[1]
-- Result: the record. EXISTS.
local taken = redis.call('HGET', KEYS[3], ARGV[2])
if taken then
    if taken ~= ARGV[1] and ARGV[5] ~= '1' then
        return redis.error_reply('EXISTS the name is taken by experiment ' .. taken ..
            '. Please specify a new name')
    end
    local record = redis.call('GET', ARGV[6] .. taken)
    if record then
        return record
    end
end
redis.call('SET', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[2], ARGV[1])
return ARGV[3]
