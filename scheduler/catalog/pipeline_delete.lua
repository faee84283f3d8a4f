-- SPDX-License-Identifier: Apache-2.0
-- Delete a pipeline. Stored specs stay: recurring runs and runs may refer to them.
-- KEYS: 1 pipeline:<id>, 2 pipelines, 3 pipeline_names, 4 pipeline:<id>:versions,
--       5 pipeline:<id>:version_names
-- ARGV: 1 id, 2 "1" to delete its versions too, 3 what precedes an id in the key of a version
-- Result: 1. NOSUCH, PRECONDITION.
local record = redis.call('GET', KEYS[1])
if not record then
    return redis.error_reply('NOSUCH pipeline ' .. ARGV[1] .. ' does not exist')
end
local versions = redis.call('ZRANGE', KEYS[4], 0, -1)
if #versions > 0 and ARGV[2] ~= '1' then
    return redis.error_reply('PRECONDITION pipeline ' .. ARGV[1] .. ' has ' .. #versions ..
        ' version(s). Set cascade=true to delete them with it, or delete them first')
end
for _, version in ipairs(versions) do
    redis.call('DEL', ARGV[3] .. version)
end
local name = cjson.decode(record)['name']
redis.call('DEL', KEYS[1], KEYS[4], KEYS[5])
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HGET', KEYS[3], name) == ARGV[1] then
    redis.call('HDEL', KEYS[3], name)
end
return 1
