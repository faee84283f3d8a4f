-- SPDX-License-Identifier: Apache-2.0
-- Send one delivery again.
-- KEYS[1]  shard prefix with "deliveries" appended
-- ARGV[1]  shard prefix  ARGV[2]  now_us  ARGV[3]  name of the request  ARGV[4]  delivery id
-- Result: [1 if it is due now because of this, its subscription]; NOSUCH, or PRECONDITION when its message is
-- not there any more.
local p = ARGV[1]
--@include delivery.lua.in
--@include redeliver.lua.in
local sub = redis.call('HGET', key_of(ARGV[4]), 'subscription')
if not sub then return redis.error_reply('NOSUCH delivery ' .. ARGV[4]) end
if redis.call('HEXISTS', key_of(ARGV[4]), 'body') == 0 then
    return redis.error_reply('PRECONDITION the message of this delivery was dropped')
end
return {redeliver(ARGV[4], ARGV[2], ARGV[3]) and 1 or 0, sub}
