-- A hold, and as soon as its answer is there, its capture with a part of it.
local common = require "common"
local head = common.head("/v1/holds")
local customers = tonumber(os.getenv("BENCH_CUSTOMERS"))
local waiting = {}
holds, captures = 0, 0

function request()
   local id = table.remove(waiting)
   if id then
      return common.post(common.head("/v1/holds/" .. id .. "/capture"), common.key(), '{"amount_minor": 3}')
   end
   return common.post(head, common.key(), common.hold(math.random(customers)))
end

function response(status, headers, body)
   if status == 201 then
      holds = holds + 1
      table.insert(waiting, string.match(body, '"id": ?"(hold_%w+)"'))
   elseif status == 200 then
      captures = captures + 1
   end
end
