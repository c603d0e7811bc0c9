/**
 * What a call asks of a server that takes this device for a new one: whatever names the call makes the device take it over,
 * when its token is the same. Knows what is asked in which state; what the answers mean is the call's.
 */

import { asCallError } from './errors.ts'
import type { Line } from './line.ts'
import { APP, type CallHold, type CallRequest, type CallResponse, CODE } from './wire.ts'

/** How the call stands here. */
export interface Standing {
  readonly id: string
  readonly incoming: boolean
  readonly answered: boolean
  readonly inRoom: boolean
  /** How we have placed it, if we have. */
  readonly request: CallRequest | undefined
  readonly acceptance: CallResponse
  /** We have put it on hold. */
  readonly held: boolean
  /** Both sides' programs know hold: what one has not announced is not asked of it. */
  readonly knowsHold: boolean
  /** The other side may have missed what was offered before it answered. */
  repeatOffers(): void
}

/** Fulfilled when the server has answered that the call lives; fails with what it says otherwise. */
export async function askHowItIs({ send }: Line, call: Standing): Promise<void> {
  const { id, incoming, answered, inRoom, request } = call
  if (inRoom || incoming) {
    // Otherwise its ACCEPT is on its way. In a room the roster is the answer, also to who has begun the call
    if (answered) await send(APP.response, call.acceptance)
  } else {
    if (answered || !request) await askWhetherItLives(send, id)
    // A server that knows nothing of a call that rings, rings anew: on the other side it is the same call
    if (request) await send(APP.request, request)
    call.repeatOffers()
  }
  if (answered && call.knowsHold) await askWhoHolds(send, id, call.held)
}

/** Without beginning it anew: a caller may not say that it rings, and is told so only of a call that lives. */
async function askWhetherItLives(send: Line['send'], callId: string): Promise<void> {
  try {
    await send(APP.ringing, { callId })
  } catch (error) {
    if (asCallError(error, 'timeout').code !== CODE.forbidden) throw error
  }
}

/** The server may have missed whether we hold it, and tells who says so once more how the others have it. */
async function askWhoHolds(send: Line['send'], callId: string, hold: boolean): Promise<void> {
  try {
    await send(APP.hold, { callId, hold } satisfies CallHold)
  } catch (error) {
    // That the call lives is known by now: of a server that knows no hold there is nothing to learn
    const { code } = asCallError(error, 'timeout')
    if (code !== CODE.notFound && code !== CODE.badRequest && code !== CODE.notNow) throw error
  }
}
