local function seconds() return redis.call('TIME')[1] end

-- Returns how many of a user's sessions live, by the index.
local function count_live(index)
  return reply_of('ZCOUNT', index, '(' .. seconds(), '+inf') or 0
end

-- Says by its score whether a session counts against a limit. See list().
local function is_counted(score)
  return score and not string.find(score, '.', 1, true)
end

-- Returns how many count, or `enough` if there are more: of a user with many sessions few are looked
-- at.
local function count_counted(index, enough)
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
