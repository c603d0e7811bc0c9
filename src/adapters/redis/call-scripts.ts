/**
 * What is done with calls inside Redis, each in one step. All keys share the hash tag `{calls}`:
 *
 * - `store` (text): the name of this collection of calls; another name, and everything was lost in between
 * - `c:<callId>` (hash): `v` version, `j` the call as JSON, `n` the processes that know it, as `;a;b;`, `h` its holders
 *   while it lives and `b` the calls that it may share a line with, as JSON lists
 * - `h:<user>` (set): the live calls that have taken the user's line. It is found by it, and right only where `h` agrees
 * - `l:<user>` (text): the call that left that line last
 * - `due` (sorted set: callId → when a timer must look at it)
 * - `live` (set of the calls that have not ended)
 * - `untold:<node>` (hash): what a process has committed and not yet told
 *
 * Reading a call is a plain command: it is what Redis does most, and several times cheaper than a script.
 *
 * Where a script comes upon the key of a call by its name alone, it makes it from the tag, so it is in the same slot.
 */

import type { Script } from './link.ts'

/** Answers of {@link COMMIT} but for the processes to be told. */
export const COMMITTED = 1
/** Somebody else was faster. */
export const CONFLICT = 0
/** It came too late: whoever asked may have given up already. Nothing was done. */
export const LATE = -1
/** This is not the collection that was meant. Nothing was done. */
export const OTHER_STORE = -2

/** Keys before those of the writes. */
const FIXED_KEYS = 4
/** Arguments before those of the writes, and of each write. */
const FIXED_ARGS = 5
const WRITE_ARGS = 8

/** Lua: the members of a JSON list as a table of `true`. */
const SET_OF = `
local function setOf(json)
  local set = {}
  for _, member in ipairs(cjson.decode(json)) do set[member] = true end
  return set
end
`

/**
 * KEYS: store, due, live, untold; of each write: call.
 * ARGV: name of the store, node, until when, field in untold ('' for none), effects;
 * of each write: callId, expected version, due, over ('1' or '0'), milliseconds to keep it, JSON, its holders (none when
 * it is over), those it may share a line with.
 * Answer: what became of it; of each write the processes that knew the call.
 */
export const COMMIT: Script = {
  name: 'calls.commit',
  source: `
local time = redis.call('TIME')
if time[1] * 1000 + time[2] / 1000 > tonumber(ARGV[3]) then return { ${LATE} } end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return { ${OTHER_STORE} } end
${SET_OF}
local base = string.sub(KEYS[1], 1, -6)
local writes = #KEYS - ${FIXED_KEYS}
local known, leaving, entering = {}, {}, {}
for i = 0, writes - 1 do
  local arg = ${FIXED_ARGS} + i * ${WRITE_ARGS}
  local found = redis.call('HMGET', KEYS[${FIXED_KEYS} + i + 1], 'v', 'n', 'h')
  if (found[1] or '0') ~= ARGV[arg + 2] then return { ${CONFLICT} } end
  known[i] = found[2] or ';'
  local held = found[3] or '[]'
  if held ~= ARGV[arg + 7] then
    local before, after = setOf(held), setOf(ARGV[arg + 7])
    local left, entered = {}, {}
    for user in pairs(before) do if not after[user] then left[user] = true end end
    for user in pairs(after) do if not before[user] then entered[user] = true end end
    leaving[ARGV[arg + 1]] = left
    entering[i] = entered
  end
end
for i, users in pairs(entering) do
  local arg = ${FIXED_ARGS} + i * ${WRITE_ARGS}
  local beside = setOf(ARGV[arg + 8])
  for user in pairs(users) do
    for _, other in ipairs(redis.call('SMEMBERS', base .. 'h:' .. user)) do
      local leaves = leaving[other] and leaving[other][user]
      if other ~= ARGV[arg + 1] and not beside[other] and not leaves then
        local held = redis.call('HGET', base .. 'c:' .. other, 'h')
        if held and setOf(held)[user] then return { ${CONFLICT} } end
      end
    end
  end
end
local answer, texts = { ${COMMITTED} }, {}
local me = ARGV[2] .. ';'
for i = 0, writes - 1 do
  local arg = ${FIXED_ARGS} + i * ${WRITE_ARGS}
  local call = KEYS[${FIXED_KEYS} + i + 1]
  local id, expected, due, over = ARGV[arg + 1], ARGV[arg + 2], ARGV[arg + 3], ARGV[arg + 4] == '1'
  local ttl, json, holders, beside = ARGV[arg + 5], ARGV[arg + 6], ARGV[arg + 7], ARGV[arg + 8]
  local nodes = known[i]
  answer[i + 2] = nodes
  texts[i + 1] = json
  if not string.find(nodes, ';' .. me, 1, true) then nodes = nodes .. me end
  redis.call('HSET', call, 'v', expected + 1, 'j', json, 'n', nodes, 'h', holders)
  if beside ~= '[]' then redis.call('HSET', call, 'b', beside) end
  redis.call('ZADD', KEYS[2], due, id)
  if over then
    redis.call('PEXPIRE', call, ttl)
    redis.call('SREM', KEYS[3], id)
  elseif expected == '0' then
    redis.call('PEXPIRE', call, ttl)
    redis.call('SADD', KEYS[3], id)
  end
  for user in pairs(leaving[id] or {}) do
    redis.call('SREM', base .. 'h:' .. user, id)
    redis.call('SET', base .. 'l:' .. user, id, 'PX', ttl)
  end
  for user in pairs(entering[i] or {}) do
    redis.call('SADD', base .. 'h:' .. user, id)
    redis.call('PEXPIRE', base .. 'h:' .. user, ttl)
  end
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[4], ARGV[4], '[[' .. table.concat(texts, ',') .. '],' .. ARGV[5]
    .. ',' .. time[1] .. '.' .. string.format('%06d', time[2]) .. ']')
  if ARGV[${FIXED_ARGS} + 2] == '0' then redis.call('PEXPIRE', KEYS[4], 86400000) end
end
return answer
`,
}

/** KEYS: store. ARGV: a name for a new one. Answer: its name. */
export const NAME: Script = {
  name: 'calls.name',
  source: `
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
`,
}

/** The process knows the call from now on. KEYS: call. ARGV: node. Answer: the call, or nothing. */
export const KNOW: Script = {
  name: 'calls.know',
  source: `
local found = redis.call('HMGET', KEYS[1], 'j', 'n')
if not found[1] then return false end
local nodes = found[2] or ';'
if not string.find(nodes, ';' .. ARGV[1] .. ';', 1, true) then
  redis.call('HSET', KEYS[1], 'n', nodes .. ARGV[1] .. ';')
end
return found[1]
`,
}

/** KEYS: call, due, live. ARGV: callId, version. Answer: 1, or 0 when it has another version. */
export const FORGET: Script = {
  name: 'calls.forget',
  source: `
if (redis.call('HGET', KEYS[1], 'v') or '0') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
return 1
`,
}

/** KEYS: due, live, store. ARGV: now, how many at most, until when nobody else shall look at them. Answer: call ids. */
export const DUE: Script = {
  name: 'calls.due',
  source: `
local base = string.sub(KEYS[3], 1, -6)
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])) do
  if redis.call('EXISTS', base .. 'c:' .. id) == 1 then
    redis.call('ZADD', KEYS[1], ARGV[3], id)
    found[#found + 1] = id
  else
    redis.call('ZREM', KEYS[1], id)
    redis.call('SREM', KEYS[2], id)
  end
end
return found
`,
}

/**
 * A call as this process knows it, for a Redis that has lost it, or its last version. One that is over is put back as well:
 * somebody may put back a version in which it was not.
 * One that shares a line may be put back before the other: it is enough that either of them names the other one.
 * KEYS: call, due, live, store.
 * ARGV: node, callId, version, due, milliseconds to keep it, JSON, whether everything was lost, whether it is over ('1' or '0'),
 * its holders, those it may share a line with.
 * Answer: the version that Redis has now; 0: it has none, and shall have none.
 */
export const RESTORE: Script = {
  name: 'calls.restore',
  source: `
${SET_OF}
local id = ARGV[2]
local has = redis.call('HMGET', KEYS[1], 'v', 'n', 'h')
local me = ARGV[1] .. ';'
local nodes = has[2] or ';'
if not string.find(nodes, ';' .. me, 1, true) then nodes = nodes .. me end
if has[1] and tonumber(has[1]) >= tonumber(ARGV[3]) then
  redis.call('HSET', KEYS[1], 'n', nodes)
  return tonumber(has[1])
end
if not has[1] and ARGV[7] ~= '1' then return 0 end
local base = string.sub(KEYS[4], 1, -6)
local before, after, beside = setOf(has[3] or '[]'), setOf(ARGV[9]), setOf(ARGV[10])
for user in pairs(after) do
  for _, other in ipairs(redis.call('SMEMBERS', base .. 'h:' .. user)) do
    if other ~= id and not beside[other] then
      local found = redis.call('HMGET', base .. 'c:' .. other, 'h', 'b')
      local invited = found[2] and setOf(found[2])[id]
      if found[1] and setOf(found[1])[user] and not invited then return 0 end
    end
  end
end
redis.call('HSET', KEYS[1], 'v', ARGV[3], 'j', ARGV[6], 'n', nodes, 'h', ARGV[9], 'b', ARGV[10])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], ARGV[4], id)
for user in pairs(before) do if not after[user] then redis.call('SREM', base .. 'h:' .. user, id) end end
for user in pairs(after) do
  redis.call('SADD', base .. 'h:' .. user, id)
  redis.call('PEXPIRE', base .. 'h:' .. user, ARGV[5])
end
if ARGV[8] == '1' then redis.call('SREM', KEYS[3], id) else redis.call('SADD', KEYS[3], id) end
return tonumber(ARGV[3])
`,
}
