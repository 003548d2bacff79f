-- Collects invoice after invoice, each of a customer of its own. Ends with the last of BENCH_COUNT.
local common = require "common"
local head = common.head("/v1/payments")
local run, count = os.getenv("BENCH_INVOICES"), tonumber(os.getenv("BENCH_COUNT"))
local place = 0

function request()
   if place == count then
      wrk.thread:stop()
   else
      place = place + 1
   end
   local name = run .. "-" .. place
   local body = '{"kind": "charge", "amount_minor": 1200, "currency": "usd", "customer": "cust-' .. name ..
      '", "purpose": "overdue invoice", "reference": "inv-' .. name .. '"}'
   return common.post(head, "collect-" .. name, body)
end
