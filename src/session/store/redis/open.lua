-- policy::open. KEYS: the session. ARGV: token, lock in ms (0: none), create (0, 1), lifetime in ms.
local key, token, lock = KEYS[1], ARGV[1], tonumber(ARGV[2])
local create, lifetime = ARGV[3] == '1', tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local head = redis.call('HMGET', key, 'v', 't', 'l', 's', 'd')
local version, holder, ends, state, data = head[1], head[2], tonumber(head[3] or 0) or 0, head[4], head[5]
if state == 'm' then return {'moved', version} end
if state == 'd' or not version then
  if not create then return {'missing', version or '0'} end
  data = false
end
local left = ends - now
if lock > 0 and holder and holder ~= token and left > 0 and left <= 3600000 then return {'busy', left} end
version = version or '0'
if lock > 0 then
  redis.call('HSET', key, 'v', version, 't', token, 'l', string.format('%.0f', now + lock))
  if state == 'd' then redis.call('HDEL', key, 's') end
end
if data then
  if redis.call('PTTL', key) <= lifetime * 0.75 then redis.call('PEXPIRE', key, lifetime) end
elseif lock > 0 and redis.call('PTTL', key) < lock then
  redis.call('PEXPIRE', key, lock)
end
return {'open', version, data}
