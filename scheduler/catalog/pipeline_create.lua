-- SPDX-License-Identifier: Apache-2.0
-- Create a pipeline, with its first version when one is given: both or neither.
-- KEYS: 1 pipeline:<id>, 2 pipelines, 3 pipeline_names, and with a version: 4 version:<id>,
--       5 pipeline:<id>:versions, 6 pipeline:<id>:version_names, 7 spec:<sha256>
-- ARGV: 1 id, 2 name, 3 record, 4 created_us, and with a version: 5 version id, 6 its name,
--       7 its record, 8 canonical spec
-- Result: the pipeline's record. EXISTS.
local taken = redis.call('HGET', KEYS[3], ARGV[2])
if taken == ARGV[1] then
    return redis.call('GET', KEYS[1])
end
if taken then
    return redis.error_reply('EXISTS the name is taken by pipeline ' .. taken ..
        '. Please specify a new name')
end
redis.call('SET', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[4], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[2], ARGV[1])
if KEYS[4] then
    redis.call('SET', KEYS[7], ARGV[8], 'NX')
    redis.call('SET', KEYS[4], ARGV[7])
    redis.call('ZADD', KEYS[5], ARGV[4], ARGV[5])
    redis.call('HSET', KEYS[6], ARGV[6], ARGV[5])
end
return ARGV[3]
