-- The sessions that live by a user's index, and those of them that count against a limit.
local function seconds() return redis.call('TIME')[1] end

local function live(index)
  return reply_of('ZCOUNT', index, '(' .. seconds(), '+inf') or 0
end

-- By its score: see list().
local function is_counted(score)
  return score and not string.find(score, '.', 1, true)
end

-- How many count, to `enough` at least: of a user with many sessions few are looked at.
local function counted(index, enough)
  local now, count, start = seconds(), 0, 0
  repeat
    local page = redis.call('ZRANGE', index, '(' .. now, '+inf', 'BYSCORE', 'LIMIT', start, enough,
      'WITHSCORES')
    for i = 2, #page, 2 do
      if is_counted(page[i]) then count = count + 1 end
    end
    start = start + enough
  until count >= enough or #page < 2 * enough
  return count
end
