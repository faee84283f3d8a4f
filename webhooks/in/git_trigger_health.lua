-- SPDX-License-Identifier: Apache-2.0
-- How a trigger gets on with the repository.
-- KEYS: 1 git:<id>:status, 2 git:<id>:poll
-- Result: {fields of the first flat, of the second flat}.
return {redis.call('HGETALL', KEYS[1]), redis.call('HGETALL', KEYS[2])}
