-- A hold a request, for one of BENCH_CUSTOMERS customers; with BENCH_FILE by the keys in it (a line each), one tenant after another.
local common = require "common"
local heads = {}
local customers = tonumber(os.getenv("BENCH_CUSTOMERS"))
local place = 0

function init(args)
   local file = os.getenv("BENCH_FILE")
   if not file then
      heads = {common.head("/v1/holds")}
      return
   end
   for key in io.lines(file) do
      table.insert(heads, common.head("/v1/holds", key))
   end
end

function request()
   place = place % #heads + 1
   return common.post(heads[place], common.key(), common.hold(math.random(customers)))
end
