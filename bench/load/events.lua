-- Signed events from a file, a line each: the signature, a tab, the body. One in ten was sent before. Ends with the file.
local common = require "common"
local head = "POST /webhooks/payments HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nX-Signature: "
local lines = {}
local place = 0
repeats = 0

function init(args)
   for line in io.lines(os.getenv("BENCH_FILE")) do
      local signature, body = line:match("^(%x+)\t(.*)$")
      table.insert(lines, head .. signature .. "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body)
   end
end

function request()
   place = place + 1
   if place > #lines then
      repeats = repeats + 1
      wrk.thread:stop()
      return lines[#lines]
   end
   if place % 10 == 0 then
      repeats = repeats + 1
      return lines[place - 9]
   end
   return lines[place]
end
