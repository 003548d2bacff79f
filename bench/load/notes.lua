-- A note a request, each of a customer and with a text of its own.
local common = require "common"
local head = common.head("/v1/notes")

function request()
   local key = common.key()
   local text = "My transfer " .. key .. " was charged twice, once yesterday and once today"
   return common.plain_post(head, '{"customer": "cust-' .. key .. '", "content": "' .. text .. '"}')
end
