/** Signalling that waits for a device which can hear it (contract, section 4). */

import { accepted, refuse } from '../../errors.ts'
import type { Call, CallTimers, Effect, KeptSignal } from '../types.ts'
import { scheduled } from './deadlines.ts'
import { type Decision, refused } from './decision.ts'

const KEPT_FRAMES = 64

const KEPT_BYTES = 256 * 1024

/** Keeps the frame; 429 when there is no room for it. */
export function keep(call: Call, frame: KeptSignal, effects: readonly Effect[], timers: CallTimers): Decision {
  const bytes = call.kept.reduce((sum, kept) => sum + kept.body.length, frame.body.length)
  if (call.kept.length >= KEPT_FRAMES || bytes > KEPT_BYTES) {
    const limit = `at most ${KEPT_FRAMES} frames and ${KEPT_BYTES} octets are kept before the answer`
    return refused(refuse('tooMany', `signalling: ${limit}`, { callId: call.callId }))
  }
  return { outcome: accepted, write: scheduled(call, { kept: [...call.kept, frame] }, timers), effects }
}
