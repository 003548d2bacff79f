-- A charge a request, answered as soon as it is decided.
local common = require "common"
local head = common.head("/v1/payments") .. "Prefer: respond-async\r\n"

function request()
   local key = common.key()
   local body = '{"kind": "charge", "amount_minor": ' .. math.random(100, 5000) .. ', "currency": "usd", "customer": "cust-' ..
      math.random(10000) .. '", "purpose": "order", "reference": "' .. key .. '"}'
   return common.post(head, key, body)
end
