/** What the rtc-service tells of calls and servers, without changing anything. */

import { type Outcome, refuse } from '../../src/errors.ts'
import type { UserId } from '../../src/ports.ts'
import { type Asked, isHeard, speaksFor } from './asked.ts'
import { callNamed } from './calling.ts'
import { shownId } from './ids.ts'
import type { HistoryPage, ShownCall, WebRtcConfig } from './messages.ts'
import { isOver, shownCall } from './shown.ts'
import { shownTime } from './times.ts'

/** The longest time that a request may wait for a change, in seconds. */
export const LONGEST_WAIT_S = 25

export const LARGEST_PAGE = 100
const PAGE = 20
/** Behind it a database would count through everything before. */
const DEEPEST = 10_000

/** The user whom the query names; else that of the token. */
function userOf(asked: Asked): Outcome<UserId> {
  const named = asked.query('userId')
  return named === undefined || named === ''
    ? { ok: true, data: asked.identity.user }
    : speaksFor(asked, 'userId', named)
}

/** The call as it is now; with `wait`, as it is once it has changed. */
export async function lookAt(asked: Asked): Promise<Outcome<ShownCall>> {
  const { services, identity, waiting } = asked
  const user = userOf(asked)
  if (!user.ok) return user
  const wait = secondsOf(asked.query('wait'))
  if (!wait.ok) return wait
  const asksForAll = identity.service === true && !asked.query('userId')
  if (!asksForAll) await isHeard(services, user.data)
  const callId = asked.param('callId')
  const look = async (): Promise<Outcome<{ shown: ShownCall; over: boolean }>> => {
    const call = await callNamed(asked, callId, asksForAll ? undefined : user.data)
    return call.ok ? { ok: true, data: { shown: shownCall(call.data), over: isOver(call.data) } } : call
  }
  if (wait.data === 0) return shownOf(await look())

  const bell = waiting.begin(identity.user, wait.data * 1000, identity.service === true)
  if (bell === undefined) return refuse('tooMany', 'too many requests wait for calls; wait 1 s', { retryAfter: 1 })
  // Watched before it is looked at: what changes in between has rung the bell
  const cancels = [services.calls.watch(callId, () => bell.ring()), asked.left(() => bell.end()), bell.cancel]
  try {
    let since = asked.query('since') ?? versionIn(asked.header('if-none-match'))
    for (;;) {
      const seen = await look()
      if (!seen.ok || seen.data.over || bell.ended) return shownOf(seen)
      since ??= seen.data.shown.version
      if (seen.data.shown.version !== since) return shownOf(seen)
      await bell.next()
    }
  } finally {
    for (const cancel of cancels) cancel()
  }
}

const shownOf = (seen: Outcome<{ shown: ShownCall }>): Outcome<ShownCall> =>
  seen.ok ? { ok: true, data: seen.data.shown } : seen

/** Of an entity tag as this face writes them (RFC 9110 section 8.8.3). */
export const versionIn = (tag: string | undefined): string | undefined =>
  /^(?:W\/)?"([\w-]+)"$/.exec(tag?.trim() ?? '')?.[1]

function secondsOf(text: string | undefined): Outcome<number> {
  if (text === undefined || text === '') return { ok: true, data: 0 }
  const seconds = wholeNumber(text)
  if (seconds !== undefined && seconds <= LONGEST_WAIT_S) return { ok: true, data: seconds }
  return refuse('badRequest', `wait: must be a whole number of seconds from 0 to ${LONGEST_WAIT_S}`)
}

/** A user's calls that are over, the latest end first. */
export async function history(asked: Asked): Promise<Outcome<HistoryPage>> {
  const user = userOf(asked)
  if (!user.ok) return user
  const [page, size] = [wholeNumber(asked.query('page') || '1'), wholeNumber(asked.query('size') || String(PAGE))]
  const wrong = [
    page !== undefined && page >= 1 ? '' : 'page: must be a whole number from 1',
    size !== undefined && size >= 1 && size <= LARGEST_PAGE
      ? ''
      : `size: must be a whole number from 1 to ${LARGEST_PAGE}`,
  ].filter((text) => text !== '')
  if (page === undefined || size === undefined || wrong.length > 0) return refuse('badRequest', wrong.join('; '))
  if ((page - 1) * size >= DEEPEST) {
    return refuse(
      'badRequest',
      `page: must not lead further than ${DEEPEST} calls; /imserver/call/history goes on by cursor`,
    )
  }
  await isHeard(asked.services, user.data)
  const found = await asked.services.history.ofUser(user.data, {}, { size, number: page })
  if (!found.ok) return found
  const records = found.data.calls.map(({ record, duration }) => ({
    callId: record.callId,
    callerId: shownId(record.caller),
    callerName: record.callerName ?? record.caller,
    calleeId: shownId(record.callee),
    calleeName: record.calleeName ?? record.callee,
    callType: record.type,
    status: record.status,
    duration,
    startTime: shownTime(record.createdAt),
    endTime: shownTime(record.endedAt),
  }))
  return { ok: true, data: { total: found.data.total ?? records.length, page, size, records } }
}

function wholeNumber(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) ? Number(text) : undefined
}

/** For `new RTCPeerConnection(data)`. */
export function webRtcConfig(asked: Asked): Outcome<WebRtcConfig> {
  const user = userOf(asked)
  if (!user.ok) return user
  const { iceServers } = asked.services.turn.credentialsFor(user.data, asked.query('region'))
  return {
    ok: true,
    data: {
      // browsers take a null for the text "null"
      iceServers: iceServers.map(({ urls, username, credential }) => ({
        urls,
        ...(username !== null && { username }),
        ...(credential !== null && { credential }),
      })),
      sdpSemantics: 'unified-plan',
    },
  }
}
