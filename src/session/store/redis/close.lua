-- policy::close. KEYS: the session. ARGV: token, version seen, lifetime in ms, what (write, refresh,
-- release), new version, data.
local key, token, seen, lifetime, what = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local head = redis.call('HMGET', key, 'v', 't', 'l', 's', 'w')
local version, holder, state, writer = head[1] or '0', head[2] or '', head[4] or '', head[5]
local mine = holder == token
if what ~= 'write' then
  if not mine then return 1 end
  if redis.call('HEXISTS', key, 'd') == 0 then
    redis.call('DEL', key)
    return 1
  end
  redis.call('HSET', key, 't', '')
  if what == 'refresh' and redis.call('PTTL', key) <= lifetime * 0.75 then redis.call('PEXPIRE', key, lifetime) end
  return 1
end
-- A write whose answer was lost comes again.
if version == ARGV[5] and writer == token then return 1 end
local free = mine or holder == ''
if not free then
  local time = redis.call('TIME')
  local left = (tonumber(head[3] or 0) or 0) - (time[1] * 1000 + math.floor(time[2] / 1000))
  free = left <= 0 or left > 3600000
end
if version == seen and free and state ~= 'm' then
  redis.call('HSET', key, 'v', ARGV[5], 'd', ARGV[6], 'w', token, 't', '', 's', '')
  redis.call('PEXPIRE', key, lifetime)
  return 1
end
if mine then redis.call('HSET', key, 't', '') end
return 0
