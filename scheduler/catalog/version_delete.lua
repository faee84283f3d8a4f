-- SPDX-License-Identifier: Apache-2.0
-- Delete a pipeline version. Its spec stays: recurring runs and runs may refer to it.
-- KEYS: 1 version:<id>
-- ARGV: 1 id, 2 what precedes an id in the key of a pipeline
-- Result: 1. NOSUCH.
local record = redis.call('GET', KEYS[1])
if not record then
    return redis.error_reply('NOSUCH pipeline version ' .. ARGV[1] .. ' does not exist')
end
local fields = cjson.decode(record)
local pipeline = ARGV[2] .. fields['pipeline_id']
redis.call('DEL', KEYS[1])
redis.call('ZREM', pipeline .. ':versions', ARGV[1])
if redis.call('HGET', pipeline .. ':version_names', fields['name']) == ARGV[1] then
    redis.call('HDEL', pipeline .. ':version_names', fields['name'])
end
return 1
