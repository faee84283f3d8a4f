-- SPDX-License-Identifier: Apache-2.0
-- For wrk: send the requests of the file REPLAY, one after the other. Each is its length, a newline, its bytes.
local requests = {}
local file = assert(io.open(os.getenv('REPLAY'), 'rb'))
for length in function() return file:read('*l') end do
    requests[#requests + 1] = file:read(tonumber(length))
end
local at = 0
request = function()
    at = at % #requests + 1
    return requests[at]
end
