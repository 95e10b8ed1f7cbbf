-- Begins a generation in each slot of ARGV, and in slot 0 when there were none at all.
-- Generations are microseconds of the server's clock, and grow even when that does not.
local now = redis.call('TIME')
local known = tonumber(redis.call('HGET', KEYS[1], 'v') or '0')
local next = math.max(tonumber(now[1]) * 1000000 + tonumber(now[2]), known + 1)
local text = string.format('%.0f', next)
for _, slot in ipairs(ARGV) do
    redis.call('HSET', KEYS[1], slot, text)
end
if known == 0 then
    redis.call('HSET', KEYS[1], '0', text)
end
redis.call('HSET', KEYS[1], 'v', text)
return redis.call('HGETALL', KEYS[1])
