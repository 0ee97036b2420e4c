-- KEYS: session. ARGV: channel, id
local had = redis.call('HMGET', KEYS[1], 'p', 'c')
if redis.call('DEL', KEYS[1]) == 0 then
  return false
end
redis.call('PUBLISH', ARGV[1], ARGV[2])
return {had[1] or '', had[2] or ''}
