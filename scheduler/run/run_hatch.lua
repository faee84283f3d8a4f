-- SPDX-License-Identifier: Apache-2.0
-- Give runs that claims have created the records of every other run: these, or any that are left.
-- Any daemon may do so: what comes of it is in the text of the run.
-- KEYS: 1 born
-- ARGV: 1 key prefix, 2 ledger entries kept, 3 how many, then ids, or none: any
-- Result: {how many are left, ids that are there now, ...}.
--@include born.lua.in
local ids = {}
for i = 4, #ARGV do
    ids[i - 3] = ARGV[i]
end
if #ids == 0 then
    ids = redis.call('HRANDFIELD', KEYS[1], ARGV[3])
    local groups = born_groups(ARGV[1])
    for i = 1, #groups, 2 do
        if #ids < tonumber(ARGV[3]) then
            for _, id in ipairs(redis.call('HRANDFIELD', ARGV[1] .. 'born:' .. groups[i],
                ARGV[3] - #ids)) do
                ids[#ids + 1] = id
            end
        end
    end
end
local out = {0}
for _, id in ipairs(ids) do
    -- Somebody who read the run may have been faster.
    if hatch(ARGV[1], id, tonumber(ARGV[2])) or
        redis.call('EXISTS', ARGV[1] .. 'run:' .. id) == 1 then
        out[#out + 1] = id
    end
end
out[1] = born_count(ARGV[1])
return out
