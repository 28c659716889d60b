-- Returns the next of a user's keys, by expiry, and how many the index has; nothing if what is under
-- the name is no index. They come after the last one before, which had this score.
local function next_keys(index, last, score, count)
  local total = reply_of('ZCARD', index)
  if not total then return end
  local start = 0
  if last ~= '' then
    -- If that has gone or moved, they begin where its second does. Not by an offset to its score,
    -- which Redis counts off one by one.
    local rank = redis.call('ZSCORE', index, last) == score and redis.call('ZRANK', index, last)
    start = rank and rank + 1 or redis.call('ZCOUNT', index, '-inf', '(' .. score)
  end
  return redis.call('ZRANGE', index, start, start + count - 1), total
end

-- Returns where to go on: the last of these keys and its score.
local function place_of(index, keys)
  local last = keys[#keys] or ''
  return last, last ~= '' and redis.call('ZSCORE', index, last) or ''
end
