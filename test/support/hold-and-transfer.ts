/** What a client of hold and transfer listens to, says that it knows, and does before there is anything to hold. */

import type { Device } from './story.ts'

export const HOLD = '/user/queue/call/hold'
export const TRANSFER = '/user/queue/call/transfer'
export const HANGUP = '/user/queue/call/hangup'

export const listens = [
  ...['request', 'response', 'down', 'hangup', 'timeout', 'ringing', 'hold', 'transfer'].map(
    (name) => `/user/queue/call/${name}`,
  ),
  '/user/queue/rtc/signaling',
  '/user/queue/errors',
]

export const features = ['hold', 'transfer']

/** The two talk, and have heard all of it, each on whichever node. */
export async function inCall(caller: Device, callee: Device): Promise<string> {
  const callId = await caller.requests(callee.user, { features })
  await callee.hears('/user/queue/call/request', { callId })
  await caller.hears('/user/queue/call/ringing', { callId })
  await callee.accepts(callId, features)
  await caller.hears('/user/queue/call/response', { callId, type: 'ACCEPT', features })
  return callId
}
