-- What every script shares. Told by environment: BENCH_KEY, BENCH_RUN (makes keys unique), BENCH_PATH, and what a
-- script reads itself. One request is one string, put together without wrk.format, which costs as much as sending it.
local common = {}
local threads = {}

common.run = os.getenv("BENCH_RUN") or "run"

-- Numbers the threads, so that no two make the same key.
function setup(thread)
   table.insert(threads, thread)
   thread:set("number", #threads)
end

local function line(method, path, key)
   return method .. " " .. path .. " HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " ..
      (key or os.getenv("BENCH_KEY") or "") .. "\r\n"
end

function common.get(path)
   return line("GET", path) .. "\r\n"
end

-- What a POST of JSON begins with; as the holder of another key if one is given.
function common.head(path, key)
   return line("POST", path, key) .. "Content-Type: application/json\r\n"
end

function common.post(head, key, body)
   return head .. "Idempotency-Key: " .. key .. "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

function common.plain_post(head, body)
   return head .. "Content-Length: " .. #body .. "\r\n\r\n" .. body
end

-- A key that nobody ever used.
local count = 0
function common.key()
   count = count + 1
   return common.run .. "-" .. number .. "-" .. count
end

-- What a gate asks before a costly call; in a batch each hold carries its own key.
function common.hold(customer, key)
   return '{' .. (key and '"idempotency_key": "' .. key .. '", ' or '') .. '"customer": "cust-' .. customer ..
      '", "amount_minor": 5, "currency": "usd", "feature": "chat"}'
end

function done(summary, latency, requests)
   local parts = {
      '"answers": ' .. summary.requests, '"refused": ' .. summary.errors.status,
      '"failed": ' .. summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
      '"seconds": ' .. summary.duration / 1e6, '"p50_ms": ' .. latency:percentile(50) / 1e3,
      '"p95_ms": ' .. latency:percentile(95) / 1e3, '"p99_ms": ' .. latency:percentile(99) / 1e3,
   }
   local sums = {}
   for _, thread in ipairs(threads) do
      for name in string.gmatch(os.getenv("BENCH_COUNTERS") or "", "%S+") do
         sums[name] = (sums[name] or 0) + (tonumber(thread:get(name)) or 0)
      end
   end
   for name, sum in pairs(sums) do
      table.insert(parts, '"n_' .. name .. '": ' .. sum)
   end
   io.write("\nBENCH {" .. table.concat(parts, ", ") .. "}\n")
end

return common
