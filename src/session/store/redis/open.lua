-- policy::open. KEYS: the session. ARGV: token, lock in ms (0: none), create (0, 1), lifetime in ms, and
-- when nobody waits for the answer any more (0: not known).
local key, token, lock = KEYS[1], ARGV[1], tonumber(ARGV[2])
local create, lifetime, patience = ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- A server that slept would lock sessions for those who have gone away.
if patience > 0 and now > patience then return {'late', 0} end
local head = redis.call('HMGET', key, 'v', 't', 'l', 's', 'd')
local version, holder, ends, state, data = head[1], head[2] or '', tonumber(head[3] or 0) or 0, head[4] or '', head[5]
if state == 'm' then return {'moved', version} end
if state == 'd' or not version then
  if not create then return {'missing', version or '0'} end
  data = false
end
version = version or '0'
if lock > 0 then
  local left = ends - now
  if holder ~= '' and holder ~= token and left > 0 and left <= 3600000 then return {'busy', left} end
  redis.call('HSET', key, 'v', version, 't', token, 'l', string.format('%.0f', now + lock), 's', '')
  if data then
    redis.call('PEXPIRE', key, lifetime)
  elseif redis.call('PTTL', key) < lock then
    redis.call('PEXPIRE', key, lock)
  end
elseif data and redis.call('PTTL', key) <= lifetime * 0.75 then
  redis.call('PEXPIRE', key, lifetime)
end
return {'open', version, data, now}
