/**
 * The registry: which process holds which devices of a user, which processes count the user as online, and which want to
 * hear of it. One hash per user, so that every change is one script on one key.
 *
 * A device belongs to one process at a time. Its epoch grows with every move, and whoever writes says which one it has:
 * a process that was cut off, and whose device has moved on meanwhile, finds that it may not write any more. Knows no
 * sessions and keeps nothing; what this process has here is in residents.ts.
 */

import type { DeviceId, Directory, KnownDevice, NodeId, UserId } from '../../ports.ts'
import type { RedisLink, Script } from './link.ts'

/** What is known of a device beside its place. */
export type DeviceFacts = Omit<KnownDevice, 'id' | 'node'>

/** A device with its epoch; `node` is {@link PARKED} while no process holds it. */
export interface Entry extends KnownDevice {
  readonly epoch: number
}

/** In the place of a process: the one that held the device has stopped, and left its session here. */
export const PARKED: NodeId = '-'

/** What a change of a user's presence on one process means to others. */
export interface PresenceChange {
  /** The user has become online (by entering) or is offline (after leaving). */
  readonly changed: boolean
  /** Microseconds of Redis's clock: of two changes of one user the later one is right. */
  readonly at: number
  /** The processes that watch the user. */
  readonly watchers: readonly NodeId[]
}

/** What a process had of a user that is dead now. */
export interface Estate extends PresenceChange {
  readonly devices: readonly Entry[]
}

/** How long it is remembered that a device was taken away from a process that did not answer, or was dead. */
const FENCE_MS = 10 * 60_000

/** Parked devices that nobody has asked for are dropped some time after their session. */
const PARKED_MS = 120_000

export class Registry implements Directory {
  readonly #link: RedisLink
  readonly #self: NodeId

  constructor(link: RedisLink, self: NodeId) {
    this.#link = link
    this.#self = self
  }

  async devices(user: UserId): Promise<readonly Entry[]> {
    const flat = texts(await this.#link.run(this.#user(user), ['HGETALL', this.#user(user)]))
    const entries: Entry[] = []
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const [field = '', value = ''] = [flat[i], flat[i + 1]]
      const entry = field.startsWith('d:') ? parsed(field.slice(2), value) : undefined
      if (entry) entries.push(entry)
    }
    return entries.sort((a, b) => a.connectedAt - b.connectedAt)
  }

  /** Writes what is known of a device that this process holds. False: it belongs to somebody else by now. */
  async put(user: UserId, device: DeviceId, epoch: number, facts: DeviceFacts): Promise<boolean> {
    return this.#device(PUT, user, device, [this.#self, String(epoch), JSON.stringify(facts)])
  }

  /** Takes a device of this process out. False: it belongs to somebody else by now. */
  async remove(user: UserId, device: DeviceId, epoch: number): Promise<boolean> {
    return this.#device(REMOVE, user, device, [this.#self, String(epoch)])
  }

  /** Gives a device of this process to another one, or to nobody ({@link PARKED}); it has the next epoch there. */
  async move(user: UserId, device: DeviceId, epoch: number, to: NodeId, facts: DeviceFacts): Promise<boolean> {
    return this.#device(MOVE, user, device, [this.#self, String(epoch), to, JSON.stringify(facts)])
  }

  /** Takes a device away from a process that does not answer, if it is still there; that one may not write it any more. */
  async fence({ id, node, epoch }: Entry, user: UserId): Promise<boolean> {
    return this.#device(FENCE, user, id, [node, String(epoch), String(FENCE_MS)])
  }

  /** Leaves the state of a session that this process holds no longer, for whoever its client comes to. */
  async park(
    user: UserId,
    device: DeviceId,
    epoch: number,
    facts: DeviceFacts,
    state: string,
    graceMs: number,
  ): Promise<boolean> {
    const { parked } = this.#parkedKeys(user, device)
    await this.#link.run(parked, ['SET', parked, state, 'PX', String(graceMs)])
    return this.move(user, device, epoch, PARKED, facts)
  }

  /** The state that was parked; it stays. */
  async parked(user: UserId, device: DeviceId): Promise<string | undefined> {
    const { parked } = this.#parkedKeys(user, device)
    const state = await this.#link.run(parked, ['GET', parked])
    return typeof state === 'string' ? state : undefined
  }

  /**
   * Takes a parked device over: it belongs to this process from now on, with the next epoch. What was left for it
   * meanwhile, in order; undefined: somebody else was faster.
   */
  async takeParked(user: UserId, { id, epoch, node: _, ...facts }: Entry): Promise<readonly string[] | undefined> {
    const { parked, late } = this.#parkedKeys(user, id)
    const args = [id, String(epoch), this.#self, JSON.stringify(facts)]
    const [taken, ...left] = texts(await this.#link.script(TAKE, [this.#user(user), parked, late], args))
    return taken === '1' ? left : undefined
  }

  /** Leaves a message for a parked device. False: it is not parked (any more). */
  async leaveFor(user: UserId, device: DeviceId, message: string): Promise<boolean> {
    const { parked, late } = this.#parkedKeys(user, device)
    const args = [device, message, String(MOST_LATE), String(PARKED_MS)]
    return (await this.#link.script(LEAVE, [this.#user(user), parked, late], args)) === 1
  }

  /** This process counts the user as online. */
  async enter(user: UserId): Promise<PresenceChange> {
    return presenceOf(texts(await this.#link.script(ENTER, [this.#user(user)], [this.#self])))
  }

  /** It does no longer. */
  async leave(user: UserId): Promise<PresenceChange> {
    return presenceOf(texts(await this.#link.script(DEPART, [this.#user(user)], [this.#self])))
  }

  /** This process wants to hear when the user comes and goes; and how it is now. */
  async watch(user: UserId): Promise<{ readonly online: boolean; readonly at: number }> {
    const [online, at] = texts(await this.#link.script(WATCH, [this.#user(user)], [this.#self]))
    return { online: online === '1', at: Number(at) }
  }

  async unwatch(user: UserId): Promise<void> {
    await this.#link.run(this.#user(user), ['HDEL', this.#user(user), `w:${this.#self}`])
  }

  /** Microseconds by the clock of Redis. */
  async now(): Promise<number> {
    return (await this.#link.time()) * 1000
  }

  async online(user: UserId): Promise<boolean> {
    return (await this.#link.run(this.#user(user), ['HEXISTS', this.#user(user), 'on'])) === 1
  }

  /** Before anything of these users is written: their names, for whoever inherits from this process. */
  async list(users: readonly UserId[]): Promise<void> {
    const key = this.#usersOf(this.#self)
    if (users.length > 0) await this.#link.run(key, ['SADD', key, ...users])
  }

  async unlist(users: readonly UserId[], node = this.#self): Promise<void> {
    const key = this.#usersOf(node)
    if (users.length > 0) await this.#link.run(key, ['SREM', key, ...users])
  }

  /** Some of the users of whom this process has something here. */
  async someOf(node: NodeId, atMost: number): Promise<readonly UserId[]> {
    const key = this.#usersOf(node)
    return texts(await this.#link.run(key, ['SRANDMEMBER', key, String(atMost)]))
  }

  /** Removes what a dead process has left of this user. Should it live after all, it may not write its devices any more. */
  async inherit(user: UserId, dead: NodeId): Promise<Estate> {
    const args = [dead, String(FENCE_MS)]
    const [changed, at, watching, ...rest] = texts(await this.#link.script(INHERIT, [this.#user(user)], args))
    const watchers = rest.splice(0, Number(watching))
    const devices: Entry[] = []
    for (let i = 0; i + 1 < rest.length; i += 2) {
      const entry = parsed(rest[i] ?? '', rest[i + 1] ?? '')
      if (entry) devices.push(entry)
    }
    return { changed: changed === '1', at: Number(at), watchers, devices }
  }

  async #device(script: Script, user: UserId, device: DeviceId, args: readonly string[]): Promise<boolean> {
    const gone = `${this.#user(user)}:gone:${device}`
    return (await this.#link.script(script, [this.#user(user), gone], [device, ...args])) === 1
  }

  #parkedKeys(user: UserId, device: DeviceId): { readonly parked: string; readonly late: string } {
    const parked = `${this.#user(user)}:parked:${device}`
    return { parked, late: `${parked}:late` }
  }

  /** The part in braces is what a Cluster places keys by; a name with a brace of its own must not end it. */
  #user(user: UserId): string {
    const name = JSON.stringify(user)
      .slice(1, -1)
      .replace(/[%{}]/g, (character) => `%${character.charCodeAt(0).toString(16)}`)
    return `${this.#link.prefix}{u:${name}}`
  }

  #usersOf(node: NodeId): string {
    return `${this.#link.prefix}node:${node}:users`
  }
}

/** Messages left for one parked device. */
const MOST_LATE = 256

/** `d:<device>` is `<node> <epoch> <facts>`; `n:<node>` who counts the user as online, `on` that somebody does; `w:<node>` who watches. */
const OWNER = `
local function owner(device)
  local entry = redis.call('HGET', KEYS[1], 'd:' .. device)
  if not entry then return nil end
  local node, epoch = string.match(entry, '^(%S+) (%d+) ')
  return node, tonumber(epoch), entry
end
local function write(device, node, epoch, facts)
  redis.call('HSET', KEYS[1], 'd:' .. device, node .. ' ' .. epoch .. ' ' .. facts)
  redis.call('PERSIST', KEYS[1])
end
-- what nobody looks after is not kept for ever
local function tidy()
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, 2) ~= 'd:' or string.sub(all[i + 1], 1, 2) ~= '- ' then return end
  end
  redis.call('PEXPIRE', KEYS[1], ${PARKED_MS})
end
`

const PUT: Script = {
  name: 'registry.put',
  source: `${OWNER}
local device, node, epoch, facts = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local holder, held = owner(device)
if holder then
  if held > epoch or (held == epoch and holder ~= node) then return 0 end
else
  local gone = redis.call('GET', KEYS[2])
  if gone and tonumber(gone) >= epoch then return 0 end
end
write(device, node, epoch, facts)
return 1`,
}

const REMOVE: Script = {
  name: 'registry.remove',
  source: `${OWNER}
local device, node, epoch = ARGV[1], ARGV[2], tonumber(ARGV[3])
local holder, held = owner(device)
if not holder then return 1 - redis.call('EXISTS', KEYS[2]) end
if holder ~= node or held ~= epoch then return 0 end
redis.call('HDEL', KEYS[1], 'd:' .. device)
tidy()
return 1`,
}

const MOVE: Script = {
  name: 'registry.move',
  source: `${OWNER}
local device, node, epoch, to, facts = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local holder, held = owner(device)
if holder then
  if holder ~= node or held ~= epoch then return 0 end
elseif redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
write(device, to, epoch + 1, facts)
tidy()
return 1`,
}

const FENCE: Script = {
  name: 'registry.fence',
  source: `${OWNER}
local device, node, epoch = ARGV[1], ARGV[2], tonumber(ARGV[3])
local holder, held = owner(device)
if holder ~= node or held ~= epoch then return 0 end
redis.call('HDEL', KEYS[1], 'd:' .. device)
redis.call('SET', KEYS[2], epoch, 'PX', ARGV[4])
tidy()
return 1`,
}

const TAKE: Script = {
  name: 'registry.take',
  source: `${OWNER}
local device, epoch, node, facts = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4]
local holder, held = owner(device)
if holder ~= '-' or held ~= epoch or redis.call('EXISTS', KEYS[2]) == 0 then return {'0'} end
local left = redis.call('LRANGE', KEYS[3], 0, -1)
redis.call('DEL', KEYS[2], KEYS[3])
write(device, node, epoch + 1, facts)
return {'1', unpack(left)}`,
}

const LEAVE: Script = {
  name: 'registry.leave',
  source: `${OWNER}
local device = ARGV[1]
if owner(device) ~= '-' then return 0 end
if redis.call('RPUSH', KEYS[3], ARGV[2]) > tonumber(ARGV[3]) then
  -- a session that has missed something must not look as if it had not
  redis.call('DEL', KEYS[2], KEYS[3])
else
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
return 1`,
}

const PRESENCE = `
local function micros()
  local time = redis.call('TIME')
  return time[1] .. string.format('%06d', time[2])
end
local function look()
  local counted, watchers = 0, {}
  for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    local kind = string.sub(field, 1, 2)
    if kind == 'n:' then counted = counted + 1
    elseif kind == 'w:' then watchers[#watchers + 1] = string.sub(field, 3) end
  end
  return counted, watchers
end
`

const ENTER: Script = {
  name: 'presence.enter',
  source: `${PRESENCE}
local before, watchers = look()
redis.call('HSET', KEYS[1], 'n:' .. ARGV[1], '1', 'on', '1')
redis.call('PERSIST', KEYS[1])
return {before == 0 and '1' or '0', micros(), unpack(watchers)}`,
}

const DEPART: Script = {
  name: 'presence.leave',
  source: `${OWNER}${PRESENCE}
redis.call('HDEL', KEYS[1], 'n:' .. ARGV[1])
local after, watchers = look()
if after == 0 then
  redis.call('HDEL', KEYS[1], 'on')
  tidy()
end
return {after == 0 and '1' or '0', micros(), unpack(watchers)}`,
}

const WATCH: Script = {
  name: 'presence.watch',
  source: `${PRESENCE}
redis.call('HSET', KEYS[1], 'w:' .. ARGV[1], '1')
redis.call('PERSIST', KEYS[1])
return {tostring(redis.call('HEXISTS', KEYS[1], 'on')), micros()}`,
}

const INHERIT: Script = {
  name: 'registry.inherit',
  source: `${OWNER}${PRESENCE}
local dead, fence = ARGV[1], ARGV[2]
local devices = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 2) == 'd:' and string.match(all[i + 1], '^%S+') == dead then
    local device = string.sub(all[i], 3)
    redis.call('HDEL', KEYS[1], all[i])
    redis.call('SET', KEYS[1] .. ':gone:' .. device, string.match(all[i + 1], '^%S+ (%d+) '), 'PX', fence)
    devices[#devices + 1] = device
    devices[#devices + 1] = all[i + 1]
  end
end
local counted = redis.call('HDEL', KEYS[1], 'n:' .. dead)
redis.call('HDEL', KEYS[1], 'w:' .. dead)
local after, watchers = look()
local offline = counted == 1 and after == 0
if after == 0 then
  redis.call('HDEL', KEYS[1], 'on')
  tidy()
end
local answer = {offline and '1' or '0', micros(), tostring(#watchers)}
for _, one in ipairs(watchers) do answer[#answer + 1] = one end
for _, one in ipairs(devices) do answer[#answer + 1] = one end
return answer`,
}

function presenceOf([changed, at, ...watchers]: readonly string[]): PresenceChange {
  return { changed: changed === '1', at: Number(at), watchers }
}

function parsed(id: DeviceId, value: string): Entry | undefined {
  const [, node, epoch, facts] = /^(\S+) (\d+) (.*)$/s.exec(value) ?? []
  if (node === undefined || facts === undefined) return undefined
  return { ...(JSON.parse(facts) as DeviceFacts), id, node, epoch: Number(epoch) }
}

const texts = (reply: unknown): string[] => (Array.isArray(reply) ? reply.map(String) : [])
