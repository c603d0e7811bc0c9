/** A request to the rtc-service whose sender is known, and on whose behalf it may speak. */

import type { Actor } from '../../src/calls/types.ts'
import { type Outcome, refuse } from '../../src/errors.ts'
import type { Cancel, UserId } from '../../src/ports.ts'
import { settleActor } from '../actor.ts'
import type { HttpServices, Identity } from '../services.ts'
import type { Waiting } from './waiting.ts'

/** What the HTTP of a request comes down to. */
export interface Asked {
  readonly services: HttpServices
  readonly waiting: Waiting
  readonly identity: Identity
  /** The body as it came. */
  readonly body: Uint8Array
  /** A part of the path. */
  param(name: string): string
  /** The first value of a parameter in the query of the address. */
  query(name: string): string | undefined
  header(name: string): string | undefined
  /** Told when the client has left, or was answered. */
  left(listener: () => void): Cancel
}

/** Whether the sender may speak for this user, whom `field` names: itself, or anybody for a service. */
export function speaksFor({ identity }: Asked, field: string, user: UserId): Outcome<UserId> {
  if (user === identity.user || identity.service === true) return { ok: true, data: user }
  return refuse('forbidden', `${field}: must be the user of the token; only a service may speak for others`)
}

/**
 * The user that a command comes from, and which of their devices is meant, as over `/imserver`. It is a sign of life of
 * theirs. A service means the user as a whole, unless it names a device.
 */
export async function speaker(asked: Asked, field: string, named: UserId): Promise<Outcome<Actor>> {
  const { services, identity } = asked
  const user = speaksFor(asked, field, named)
  if (!user.ok) return user
  await isHeard(services, user.data)
  return settleActor({ ...identity, user: user.data }, asked.header('x-session-id'), await services.sessions(user.data))
}

/** Keeps a leg of the user alive that has no device. */
export async function isHeard({ calls, log }: HttpServices, user: UserId): Promise<void> {
  try {
    await calls.heard(user)
  } catch (error) {
    // that a leg is kept alive is not what was asked for
    log.error({ err: error }, 'a call has not learnt that its party is still there')
  }
}
