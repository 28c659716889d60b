-- Lists the next of a user's sessions, by expiry. Returns how many keys it read, the last of them and
-- its score, how many keys the index has, and then the key of each session that is there, and its
-- head. Returns nothing if what is under the name is no index.
-- KEYS: the index. ARGV: what names of sessions begin with, the last key before and its score or
-- nothing, how many to read.
local prefix, last, score, count = unpack(ARGV)
local listed, total = next_keys(KEYS[1], last, score, count)
if not listed then return {} end
local new_last, new_score = place_of(KEYS[1], listed)
return add_heads({#listed, new_last, new_score, total}, prefix, listed)
