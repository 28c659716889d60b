-- Moves last_seen_at and expires_at, neither of them back, and the device if it is another. The
-- payload stays where it is. Returns whether it was done: not if the value is shorter than its head.
local function touch_value(name, head, timestamps, device_lengths, device)
  local user_end = HEAD + user_length(head)
  local device_end = device_end_of(head)
  local stored = #head < device_end and redis.call('GETRANGE', name, 0, device_end - 1) or head
  if #stored < device_end then return false end
  local seen_at, expires_at = string.sub(timestamps, 1, 8), string.sub(timestamps, 9, 16)
  timestamps = later(string.sub(stored, LAST_SEEN_AT, LAST_SEEN_AT_END), seen_at)
    .. later(string.sub(stored, EXPIRES_AT, EXPIRES_AT_END), expires_at)
  redis.call('SETRANGE', name, LAST_SEEN_AT - 1, timestamps)
  if string.sub(stored, IP_ADDRESS_LENGTH, USER_AGENT_LENGTH_END) == device_lengths
    and string.sub(stored, user_end + 1, device_end) == device then
    return true
  end
  local payload = redis.call('GETRANGE', name, device_end, -1)
  redis.call('SET', name, string.sub(stored, 1, LAST_SEEN_AT - 1) .. timestamps
    .. string.sub(stored, LISTED_UNTIL, USER_LENGTH_END) .. device_lengths
    .. string.sub(stored, HEAD + 1, user_end) .. device .. payload, 'KEEPTTL')
  return true
end
