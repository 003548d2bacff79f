-- A hundred holds a request.
local common = require "common"
local head = common.head("/v1/holds:batch")
local customers = tonumber(os.getenv("BENCH_CUSTOMERS"))

function request()
   local holds = {}
   for place = 1, 100 do
      holds[place] = common.hold(math.random(customers), common.key())
   end
   return common.plain_post(head, '{"holds": [' .. table.concat(holds, ", ") .. ']}')
end
