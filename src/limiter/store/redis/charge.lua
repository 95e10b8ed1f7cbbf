-- Charges one request to every limit of a rule, or to none.
--
-- The same integers as src/limiter/policy, by the server's clock; tests/limiter/script.rs holds the
-- two together on random histories. All products stay below 2^53, where doubles are exact.
--
-- KEYS: one counter per limit, all with one hash tag.
-- ARGV: 'spend' or 'peek', the cost, then for each limit: algorithm, limit, window in seconds, burst.
-- Reply: for each limit: allowed (1 or 0), remaining, nanoseconds to wait (-1: for ever),
--        nanoseconds until the quota is whole again.
--
-- Written flat, because it runs for every request of a site: tables and closures per limit made it
-- half as slow again.

local time = redis.call('TIME')
local seconds = tonumber(time[1])
local now = seconds * 1000000 + time[2]
local cost = tonumber(ARGV[2])
local floor, max, min = math.floor, math.max, math.min
local reply = {}

-- Nanoseconds until the counters of a sliding window have faded to `level`. Times in milliseconds.
local function until_falls_to(level, previous, current, finish, window)
  local count, room = previous, level - current
  if room < 0 then
    count, room, finish = current, level, finish + window
  end
  local left = window
  if count > 0 then
    left = min(floor(((room + 1) * window - 1) / count), window)
  end
  return max((finish - left) * 1000 - now, 0) * 1000
end

-- Decides on the limit at `position`, and spends from it if `spending` and it has room.
local function charge(position, spending)
  local key, at = KEYS[position], 4 * position
  local algorithm, limit = ARGV[at - 1], tonumber(ARGV[at])
  local window, burst = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local value = redis.call('GET', key)
  local fits, wait, remaining, reset, state
  -- A value from the future is moved to the present, also by a peek.
  local from_the_future = false

  if algorithm == 'sliding_window' then
    -- Value: index of the window, what the window before it saw, what it saw.
    window = window * 1000
    local millis = floor(now / 1000)
    local index = floor(millis / window)
    local previous, current = 0, 0
    if value then
      local kept, older, newer = string.match(value, '(%d+) (%d+) (%d+)')
      local age = index - kept
      from_the_future = age < 0
      if age == 1 then
        previous = tonumber(newer)
      elseif age <= 0 then
        previous, current = tonumber(older), tonumber(newer)
      end
    end
    local finish = (index + 1) * window
    local faded = floor(previous * (finish - millis) / window)
    fits = faded + current + cost <= limit
    if fits and spending then
      current = current + cost
    elseif not fits and cost <= limit then
      wait = until_falls_to(limit - cost, previous, current, finish, window)
    end
    remaining = max(limit - faded - current, 0)
    reset = until_falls_to(0, previous, current, finish, window)
    state = index .. ' ' .. previous .. ' ' .. current
  elseif algorithm == 'gcra' then
    -- Value: when it was written (microseconds), how far the theoretical arrival time was ahead then
    -- (nanoseconds): an arrival time itself would not fit into a double.
    local interval = math.ceil(window * 1000000000 / limit)
    local span = interval * burst
    local debt = 0
    if value then
      local written, owed = string.match(value, '(%d+) (%d+)')
      debt = owed - (now - written) * 1000
      from_the_future = debt > span
      debt = max(min(debt, span), 0)
    end
    local price = interval * cost
    fits = price <= span - debt
    if fits and spending then
      debt = debt + price
    elseif not fits then
      wait = price - (span - debt)
    end
    remaining = floor((span - debt) / interval)
    reset = debt
    state = string.format('%.0f %.0f', now, debt)
  else
    -- Value: index of the window, what it saw.
    local index = floor(seconds / window)
    local used = 0
    if value then
      local kept, count = string.match(value, '(%d+) (%d+)')
      local age = index - kept
      from_the_future = age < 0
      if age <= 0 then
        used = tonumber(count)
      end
    end
    fits = used + cost <= limit
    if fits and spending then
      used = used + cost
    end
    wait = ((index + 1) * window * 1000000 - now) * 1000
    remaining = max(limit - used, 0)
    reset = used > 0 and wait or 0
    state = index .. ' ' .. used
  end

  if from_the_future or (fits and spending) then
    redis.call('SET', key, state, 'PX', math.ceil(reset / 1000000) + 1)
  end
  if fits then
    wait = 0
  elseif cost > burst then
    wait = -1
  end
  reply[at - 3], reply[at - 2], reply[at - 1], reply[at] = fits and 1 or 0, remaining, wait, reset
  return fits
end

local spending = ARGV[1] == 'spend'
if #KEYS == 1 then
  charge(1, spending)
  return reply
end

local all_fit = true
for position = 1, #KEYS do
  all_fit = charge(position, false) and all_fit
end
if spending and all_fit then
  for position = 1, #KEYS do
    charge(position, true)
  end
end
return reply
