-- SPDX-License-Identifier: Apache-2.0
-- Add a version to a pipeline and store its spec.
-- KEYS: 1 pipeline:<id>, 2 version:<id>, 3 pipeline:<id>:versions,
--       4 pipeline:<id>:version_names, 5 spec:<sha256>
-- ARGV: 1 pipeline id, 2 version id, 3 name, 4 record, 5 created_us, 6 canonical spec
-- Result: the record. NOSUCH, EXISTS.
if redis.call('EXISTS', KEYS[1]) == 0 then
    return redis.error_reply('NOSUCH pipeline ' .. ARGV[1] .. ' does not exist')
end
local taken = redis.call('HGET', KEYS[4], ARGV[3])
if taken == ARGV[2] then
    return redis.call('GET', KEYS[2])
end
if taken then
    return redis.error_reply('EXISTS the name is taken by version ' .. taken ..
        ' of this pipeline. Please specify a new name')
end
redis.call('SET', KEYS[5], ARGV[6], 'NX')
redis.call('SET', KEYS[2], ARGV[4])
redis.call('ZADD', KEYS[3], ARGV[5], ARGV[2])
redis.call('HSET', KEYS[4], ARGV[3], ARGV[2])
return ARGV[4]
