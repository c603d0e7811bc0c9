/** News of the domain → what a back end is told of it. Pure; docs/webhooks.md has the same as a table. */

import { hash } from 'node:crypto'
import type { Call, EndReason, Member, Names } from '../calls/types.ts'
import type { MemberChange } from '../events.ts'
import type { HookType } from './messages.ts'
import type { Hook } from './ports.ts'

/** `call.requested`. Which devices it reaches is asked when it is sent. */
export function ofRequest(call: Call): readonly Hook[] {
  return [ofCall('call.ring', call, call.createdAt, { ...factsOf(call), ringUntil: call.ringUntil })]
}

/** `call.connected` */
export function ofAnswer(call: Call): readonly Hook[] {
  const { connectedAt = call.createdAt, winner } = call
  const device = winner?.device
  const data = { ...factsOf(call), connectedAt, ...(device !== undefined && { device }) }
  return [ofCall('call.answered', call, connectedAt, data)]
}

/** `call.ended`. `names`: what an ended call no longer has. */
export function ofEnd(call: Call, names: Names): readonly Hook[] {
  const { status, reason, connectedAt, ringingAt, endedAt = call.createdAt } = call
  const facts = { ...factsOf(call, names), endedAt }
  const rang = ringingAt === undefined ? {} : { ringingAt }
  const hooks: Hook[] = []
  if (isCancelled(call)) hooks.push(ofCall('call.cancel', call, endedAt, { ...facts, reason }))
  if (isMissed(call)) hooks.push(ofCall('call.missed', call, endedAt, { ...facts, ...rang, reason }))
  const answered = connectedAt === undefined ? {} : { connectedAt }
  const durationS = connectedAt === undefined ? 0 : Math.max(0, Math.floor((endedAt - connectedAt) / 1000))
  const members = call.members && { members: call.members.map(ofOne) }
  hooks.push(
    ofCall('call.ended', call, endedAt, { ...facts, ...rang, ...answered, ...members, status, reason, durationS }),
  )
  return hooks
}

/** `member.invited`: it rings at somebody who is asked into a room, or they are in another call. */
export function ofInvitation({ call, member, at }: MemberChange): readonly Hook[] {
  const { state, ringUntil } = member
  if (state === 'RINGING') return [ofMember('call.ring', call, member, at, { ringUntil })]
  return [ofMember('call.missed', call, member, at, { reason: 'BUSY', endedAt: at })]
}

/** `member.joined` */
export function ofJoining({ call, member, at }: MemberChange): readonly Hook[] {
  const device = member.leg?.device
  return [ofMember('call.answered', call, member, at, { connectedAt: at, ...(device !== undefined && { device }) })]
}

/** `member.gone`: they have declined, nobody has answered, or it was taken back. */
export function ofDeparture({ call, member, at, reason }: MemberChange): readonly Hook[] {
  const data = { reason, endedAt: at }
  const cancel = ofMember('call.cancel', call, member, at, data)
  if (reason === 'DECLINED') return [cancel]
  const missed = ofMember('call.missed', call, member, at, data)
  return reason === 'NO_ANSWER' || reason === 'BUSY' ? [missed] : [cancel, missed]
}

/** `user.online`, `user.offline` */
export function ofUser(type: 'user.online' | 'user.offline', userId: string, at: number): readonly Hook[] {
  return [{ id: idOf(type, userId, at), key: `user:${userId}`, type, at, data: { userId } }]
}

/** A request that met another one (GLARE) has never been shown to anybody. */
const isCancelled = ({ status, reason }: Call): boolean => status === 'CANCELLED' && reason !== 'GLARE'

const MISSED: ReadonlySet<EndReason | undefined> = new Set(['BUSY', 'NO_ANSWER'])

/** What the callee sees as missed (not: declined, answered elsewhere, glare). */
const isMissed = (call: Call): boolean => MISSED.has(call.reason) || isCancelled(call)

function factsOf({ callId, type, caller, callee, createdAt, request }: Call, names?: Names) {
  const { callerUserName, calleeUserName } = names ?? namesOf(request)
  return {
    callId,
    type,
    caller,
    callee,
    ...(callerUserName !== undefined && { callerUserName }),
    ...(calleeUserName !== undefined && { calleeUserName }),
    createdAt,
  }
}

const namesOf = ({ callerUserName, calleeUserName }: Call['request']): Names => ({
  ...(typeof callerUserName === 'string' && { callerUserName }),
  ...(typeof calleeUserName === 'string' && { calleeUserName }),
})

/** An event of a room that concerns one member: `callee` is who it rings at, `caller` who has invited them. */
function ofMember(type: HookType, call: Call, member: Member, at: number, data: Hook['data']): Hook {
  const { callId, caller, createdAt } = call
  const { user, name, invitedBy = caller, invitedAt } = member
  const inviter = call.members?.find((other) => other.user === invitedBy)?.name
  const facts = {
    callId,
    type: call.type,
    caller: invitedBy,
    callee: user,
    ...(inviter !== undefined && { callerUserName: inviter }),
    ...(name !== undefined && { calleeUserName: name }),
    createdAt,
    room: true,
    invitedAt,
  }
  // Somebody may be asked into one room several times
  const id = idOf(type, JSON.stringify([callId, user, at]), invitedAt)
  return { id, key: `call:${callId}`, type, at, data: { ...facts, ...data } }
}

const ofOne = ({ user, name, state, joinedAt, leftAt }: Member) => ({
  userId: user,
  ...(name !== undefined && { name }),
  state,
  ...(joinedAt !== undefined && { joinedAt }),
  ...(leftAt !== undefined && { leftAt }),
})

function ofCall(type: HookType, { callId, createdAt }: Call, at: number, data: Hook['data']): Hook {
  return { id: idOf(type, callId, createdAt), key: `call:${callId}`, type, at, data }
}

/** Made from the fact, so that another process that tells it again, after this one has died, says the same. */
function idOf(type: HookType, whose: string, since: number): string {
  return hash('sha256', JSON.stringify([type, whose, since]), 'base64url').slice(0, 22)
}
