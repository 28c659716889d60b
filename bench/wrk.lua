-- The session keys come after "--". Each request has the next one's cookie: two that are under way
-- at a time have different sessions.

local requests, turn = {}, 0

function init(args)
  for number = 1, #args do
    requests[number] = wrk.format("GET", nil, {Cookie = "sessionid=" .. args[number]})
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("done: %d in %d us, %d failed", summary.requests, summary.duration, failed))
end
