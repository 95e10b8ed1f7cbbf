-- Charges one request to every limit of a rule, or to none.
--
-- The same integers as src/limiter/policy, by the server's clock; tests/limiter/redis.rs holds the
-- two together on random histories. All products stay below 2^53, where doubles are exact.
--
-- KEYS: one counter per limit, all with one hash tag.
-- ARGV: 'spend' or 'peek', the cost, then for each limit: algorithm, limit, window in seconds, burst.
-- Reply: for each limit: allowed (1 or 0), remaining, nanoseconds to wait (-1: for ever),
--        nanoseconds until the quota is whole again.

local time = redis.call('TIME')
local seconds = tonumber(time[1])
local now = seconds * 1000000 + tonumber(time[2])
local spending = ARGV[1] == 'spend'
local cost = tonumber(ARGV[2])

-- The numbers in a stored value, or `...` where there is none.
local function stored(key, ...)
  local value = redis.call('GET', key)
  if not value then
    return ...
  end
  local numbers = {}
  for number in string.gmatch(value, '%d+') do
    numbers[#numbers + 1] = tonumber(number)
  end
  return unpack(numbers)
end

local function text(...)
  local numbers = {...}
  for position, number in ipairs(numbers) do
    numbers[position] = string.format('%.0f', number)
  end
  return table.concat(numbers, ' ')
end

-- Each algorithm returns: whether the cost fits, how long it has to wait, whether the stored value
-- is from the future and must be moved to the present, and what there is before and after spending.
local algorithms = {}

function algorithms.fixed_window(key, limit, window)
  local index = math.floor(seconds / window)
  local kept, used = stored(key, index, 0)
  if kept < index then
    used = 0
  end
  local left = ((index + 1) * window * 1000000 - now) * 1000
  local function with(count)
    return {value = text(index, count), remaining = math.max(limit - count, 0), reset = count > 0 and left or 0}
  end
  return used + cost <= limit, left, kept > index, with(used), with(used + cost)
end

function algorithms.gcra(key, limit, window, burst)
  local interval = math.ceil(window * 1000000000 / limit)
  local span = interval * burst
  local written, debt = stored(key, now, 0)
  debt = debt - (now - written) * 1000
  local from_the_future = debt > span
  debt = math.max(math.min(debt, span), 0)
  local price = interval * cost
  local function owing(nanos)
    return {value = text(now, nanos), remaining = math.floor((span - nanos) / interval), reset = nanos}
  end
  return price <= span - debt, price - (span - debt), from_the_future, owing(debt), owing(debt + price)
end

function algorithms.sliding_window(key, limit, window)
  window = window * 1000
  local millis = math.floor(now / 1000)
  local index = math.floor(millis / window)
  local kept, previous, current = stored(key, index, 0, 0)
  if kept == index - 1 then
    previous, current = current, 0
  elseif kept < index then
    previous, current = 0, 0
  end
  local finish = (index + 1) * window
  local faded = math.floor(previous * (finish - millis) / window)

  local function until_left(count, room)
    if count == 0 then
      return window
    end
    return math.min(math.floor(((room + 1) * window - 1) / count), window)
  end
  local function falls_to(level, count)
    local at
    if count <= level then
      at = finish - until_left(previous, level - count)
    else
      at = finish + window - until_left(count, level)
    end
    return math.max(at * 1000 - now, 0) * 1000
  end
  local function with(count)
    local remaining = math.max(limit - faded - count, 0)
    return {value = text(index, previous, count), remaining = remaining, reset = falls_to(0, count)}
  end
  local wait = cost <= limit and falls_to(limit - cost, current) or 0
  return faded + current + cost <= limit, wait, kept > index, with(current), with(current + cost)
end

local decisions = {}
local all_fit = true
for position, key in ipairs(KEYS) do
  local at = 3 + (position - 1) * 4
  local limit, window, burst = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local fits, wait, repair, before, after = algorithms[ARGV[at]](key, limit, window, burst)
  if fits then
    wait = 0
  elseif cost > burst then
    wait = -1
  end
  all_fit = all_fit and fits
  decisions[position] = {fits = fits, wait = wait, repair = repair, before = before, after = after}
end

local spent = spending and all_fit
local reply = {}
for position, decision in ipairs(decisions) do
  local state = spent and decision.after or decision.before
  if spent or decision.repair then
    redis.call('SET', KEYS[position], state.value, 'PX', string.format('%.0f', math.ceil(state.reset / 1000000) + 1))
  end
  for _, number in ipairs({decision.fits and 1 or 0, state.remaining, decision.wait, state.reset}) do
    reply[#reply + 1] = number
  end
end
return reply
