-- The paths of BENCH_PATHS in turn, separated by spaces.
local common = require "common"
local paths = {}
for path in string.gmatch(os.getenv("BENCH_PATHS") or "/", "%S+") do
   table.insert(paths, common.get(path))
end
local place = 0

function request()
   place = place % #paths + 1
   return paths[place]
end
