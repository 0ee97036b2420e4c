-- KEYS: session. ARGV: version before, version, record, person, company, now, channel, id
local had = redis.call('HMGET', KEYS[1], 'v', 'c', 'e')
if had[1] ~= ARGV[1] or tonumber(had[3]) <= tonumber(ARGV[6]) then
  return false
end
redis.call('HSET', KEYS[1], 'v', ARGV[2], 'r', ARGV[3], 'p', ARGV[4], 'c', ARGV[5])
redis.call('PUBLISH', ARGV[7], ARGV[8])
return {had[2], had[3]}
