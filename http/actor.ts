/**
 * Which device speaks, over a protocol that has none (contract, section 3): the session that the request names; else
 * the one live session that connected with the very same token; else the user as a whole.
 */

import type { Principal } from '../broker/index.ts'
import type { Actor } from '../src/calls/types.ts'
import { type Outcome, refuse } from '../src/errors.ts'
import type { LiveSession } from './services.ts'

/** `named`: the header `X-Session-Id`. `sessions`: the live ones of this very user. */
export function settleActor(
  principal: Principal,
  named: string | undefined,
  sessions: readonly LiveSession[],
): Outcome<Actor> {
  const { user, token } = principal
  if (named !== undefined && named !== '') {
    if (!sessions.some(({ id }) => id === named)) {
      return refuse('badRequest', 'X-Session-Id: is not a live session of yours (`session` in CONNECTED)')
    }
    return { ok: true, data: { user, token, overHttp: true, device: named } }
  }
  const same = sessions.filter((session) => session.token === token || session.former?.includes(token))
  return { ok: true, data: { user, token, overHttp: true, device: same.length === 1 ? same[0]!.id : undefined } }
}
