/**
 * What every STOMP destination of the domain has in common: a body checked against its schema, and a refusal told in
 * the words of the errors queue.
 */

import { z } from 'zod'
import type { Handler, Refused, Sent, SessionView } from '../broker/index.ts'
import { callId } from './calls/messages.ts'
import type { Actor } from './calls/types.ts'
import type { Outcome, Refusal } from './errors.ts'
import type { Awaitable } from './steps.ts'
import { parseBody } from './validation.ts'

/** Reads the body against the schema, then handles the message; what is refused goes to `/user/queue/errors`. */
export function payload<S extends z.ZodType>(
  schema: S,
  handle: (session: SessionView, message: z.output<S>, sent: Sent) => Awaitable<Outcome<unknown>>,
): Handler {
  return (session, sent) => {
    const message = parseBody(schema, sent.body)
    if (!message.ok) return told({ ...callNamedBy(sent.body), ...message })
    const outcome = handle(session, message.data, sent)
    return outcome instanceof Promise ? outcome.then(refusalOf) : refusalOf(outcome)
  }
}

const refusalOf = (outcome: Outcome<unknown>): Refused | undefined => (outcome.ok ? undefined : told(outcome))

/** A session acts for its user on its own device. */
export function actorOf({ id, principal }: SessionView): Actor {
  return { user: principal.user, device: id, token: principal.token }
}

const NamesACall = z.looseObject({ callId })

/** A malformed message may still say which call it is about: then its sender can tell which of its windows is meant. */
function callNamedBy(body: Uint8Array): { callId?: string } {
  const named = parseBody(NamesACall, body)
  return named.ok ? { callId: named.data.callId } : {}
}

function told({ ok: _, ...refusal }: Refusal): Refused {
  return refusal
}
