-- Lists a page of a user's sessions, the one that expires last first. Returns how many there are, and
-- then the key of each on the page and its head. Returns nothing if what is under the name is no
-- index.
-- KEYS: the index. ARGV: what names of sessions begin with, how many come before, how many to read.
local prefix, start, size = unpack(ARGV)
local now = math.floor(milliseconds() / 1000)
local total = reply_of('ZCOUNT', KEYS[1], '(' .. now, '+inf')
if not total then return {} end
local keys = {}
if tonumber(size) > 0 then
  keys = redis.call('ZREVRANGE', KEYS[1], start, start + size - 1)
end
return add_heads({total}, prefix, keys)
