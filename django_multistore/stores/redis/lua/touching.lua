-- Move last_seen_at and expires_at, neither of them back, and the device if it is another. The payload
-- stays where it is. Whether it was done: not if the value is shorter than its own head.
local function touch(name, head, moments, lengths, device)
  local user = HEAD + user_length(head)
  local old_end = head_length(head)
  local stored = #head < old_end and redis.call('GETRANGE', name, 0, old_end - 1) or head
  if #stored < old_end then return false end
  moments = later(string.sub(stored, 38, 45), string.sub(moments, 1, 8))
    .. later(string.sub(stored, 46, 53), string.sub(moments, 9, 16))
  redis.call('SETRANGE', name, 37, moments)
  if string.sub(stored, 60, 62) == lengths and string.sub(stored, user + 1, old_end) == device then
    return true
  end
  local payload = redis.call('GETRANGE', name, old_end, -1)
  redis.call('SET', name, string.sub(stored, 1, 37) .. moments .. string.sub(stored, 54, 59)
    .. lengths .. string.sub(stored, HEAD + 1, user) .. device .. payload, 'KEEPTTL')
  return true
end
