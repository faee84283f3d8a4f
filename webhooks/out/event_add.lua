-- SPDX-License-Identifier: Apache-2.0
-- Append one event to the stream of a shard that is ours, for its outbox to find.
-- KEYS[1]  shard prefix with "events" appended
-- ARGV[1]  shard prefix  ARGV[2]  epoch  ARGV[3]  event
-- Result: OK. Twice does no harm: the same event gives the same deliveries.
local p = ARGV[1]
if redis.call('GET', p .. 'epoch') ~= ARGV[2] then
    return redis.error_reply('FENCED another daemon owns this shard')
end
redis.call('XADD', KEYS[1], '*', 'e', ARGV[3])
return 'OK'
