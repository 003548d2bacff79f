-- A search a request, for a text that was never asked before, so that each is embedded anew.
local common = require "common"
local head = common.head("/v1/notes/search")
local words = {"card", "transfer", "refund", "invoice", "order", "charged twice", "missing", "declined", "abroad", "fee"}

function request()
   local text = words[math.random(#words)] .. " " .. words[math.random(#words)] .. " " .. common.key()
   return common.plain_post(head, '{"customer": "' .. os.getenv("BENCH_CUSTOMER") .. '", "q": "' .. text .. '", "limit": 10}')
end
