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

/**
 * Reads the body against the schema, then handles the message; what is refused goes to `/user/queue/errors`.
 * `glance`: a shorter way to what the handler needs of a message that the schema certainly accepts; undefined of others.
 */
export function payload<S extends z.ZodType, M = z.output<S>>(
  schema: S,
  handle: (session: SessionView, message: z.output<S> | M, sent: Sent) => Awaitable<Outcome<unknown>>,
  glance?: (body: Buffer) => M | undefined,
): Handler {
  const handled = (session: SessionView, message: z.output<S> | M, sent: Sent) => {
    const outcome = handle(session, message, sent)
    return outcome instanceof Promise ? outcome.then(refusalOf) : refusalOf(outcome)
  }
  return (session, sent) => {
    const glanced = glance?.(sent.body)
    if (glanced !== undefined) return handled(session, glanced, sent)
    const message = parseBody(schema, sent.body)
    if (!message.ok) return told({ ...callNamedBy(sent.body), ...message })
    return handled(session, message.data, sent)
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
