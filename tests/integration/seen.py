# SPDX-License-Identifier: Apache-2.0
"""How far recurring runs have come, for scripts that tests run in Redis: what was claimed ahead of its instant has
not happened yet."""

SEEN_PROGRESS = r"""
local function seen_progress(prefix, id)
    local progress = redis.call('HGET', prefix .. 'progress', id)
    for _, at in ipairs(redis.call('ZRANGE', prefix .. 'ahead', 0, -1)) do
        local undo = redis.call('HGET', prefix .. 'ahead:' .. at .. ':undo', id)
        if undo then
            return undo:match('^%S+\n([^\n]*)'), 1
        end
    end
    return progress, 0
end
"""
