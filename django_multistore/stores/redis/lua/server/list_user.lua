-- Lists the next of a user's sessions, by expiry. Returns how many keys it read, the last of them and
-- its score, how many keys the index has, and then the key of each session that is there, and its
-- head. Returns nothing if what is under the name is no index.
-- KEYS: the index. ARGV: what names of sessions begin with, the last key before and its score or
-- nothing, how many to read.
local call = redis.call
local prefix, last, score, count = unpack(ARGV)
local total = reply_of('ZCARD', KEYS[1])
if not total then return {} end
local start = 0
if last ~= '' then
  -- The next one comes after the last one; or, if that has gone or moved, where its second begins.
  -- Not by an offset to its score, which Redis counts off one by one.
  local rank = call('ZSCORE', KEYS[1], last) == score and call('ZRANK', KEYS[1], last)
  start = rank and rank + 1 or call('ZCOUNT', KEYS[1], '-inf', '(' .. score)
end
local listed = call('ZRANGE', KEYS[1], start, start + count - 1)
last = listed[#listed] or ''
local found = {#listed, last, last ~= '' and call('ZSCORE', KEYS[1], last) or '', total}
return add_heads(found, prefix, listed)
