-- What wrk sends, from the environment, and what it prints at its end. The body is read once and sent as it is.
wrk.method = os.getenv("BENCH_METHOD")
local body_file = os.getenv("BENCH_BODY")
if body_file then
  local file = assert(io.open(body_file, "rb"))
  wrk.body = file:read("*a")
  file:close()
  wrk.headers["Content-Type"] = os.getenv("BENCH_TYPE")
end

-- A new key for each request: for objects that are put without a server in between
local keys = os.getenv("BENCH_KEYS")
if keys then
  local count = 0
  function request()
    count = count + 1
    return wrk.format(nil, keys .. count .. ".jpg")
  end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'BENCH {"requests":%d,"microseconds":%d,"bytes":%d,"broken":%d,"refused":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, summary.bytes, errors.connect + errors.read + errors.write + errors.timeout,
    errors.status, latency:percentile(50), latency:percentile(99)))
end
