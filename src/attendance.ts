/**
 * What it means for the services when sessions come, lose their connection, come back and end. Decides nothing; the order
 * is what matters: a session whose credential is no good is nobody's, and a call hears last, when all else is settled.
 */

import type { BrokerObserver, SessionView } from '../broker/index.ts'
import { type CallService, ENDS_ON, RINGS_ON, SIGNALS_ON } from './calls/service.ts'
import type { CredentialService } from './credentials/service.ts'
import { MISSED_QUEUE } from './history/missed.ts'
import type { HistoryService } from './history/service.ts'
import type { PresenceService } from './presence/service.ts'
import type { Awaitable } from './steps.ts'
import { TURN_QUEUE } from './turn/destinations.ts'
import type { Renewal } from './turn/renewal.ts'

export interface Attending {
  readonly calls: Pick<CallService, 'appeared' | 'listens' | 'lost' | 'returned' | 'hearsEnds'>
  readonly credentials: Pick<CredentialService, 'connected' | 'returned' | 'disconnected' | 'former' | 'subscribed'>
  readonly presence: Pick<PresenceService, 'arrived' | 'away' | 'left' | 'handedOver' | 'caughtUp'>
  readonly turn: Pick<Renewal, 'listens' | 'disconnected'>
  readonly history?: Pick<HistoryService, 'subscribed'> | undefined
  /** Nobody waits for it; what goes wrong is reported. */
  readonly inBackground: (work: () => Awaitable<unknown>) => void
}

type Attendance = Required<
  Pick<BrokerObserver, 'connected' | 'disconnected' | 'away' | 'returned' | 'released' | 'caughtUp' | 'subscribed'>
>

/** For the broker to tell. */
export function attendance({ calls, credentials, presence, turn, history, inBackground }: Attending): Attendance {
  const forget = (session: SessionView) => {
    const former = credentials.former(session)
    credentials.disconnected(session)
    turn.disconnected(session.id)
    return former
  }
  return {
    connected(session) {
      presence.arrived(session.principal.user, session.id)
      credentials.connected(session)
    },
    disconnected(session) {
      const former = forget(session)
      const { user, token } = session.principal
      presence.left(user, session.id)
      inBackground(() => calls.lost(user, session.id, token, former))
    },
    away(session) {
      const { id, principal, comesBack } = session
      presence.away(principal.user, id, comesBack)
      const former = credentials.former(session)
      inBackground(() => calls.lost(principal.user, id, principal.token, former, true))
    },
    returned(session, before) {
      const { id, principal } = session
      presence.arrived(principal.user, id)
      if (!credentials.returned(session, before)) return
      turn.listens(id)
      inBackground(async () => {
        await calls.returned(principal.user, id, principal.token)
        // What has begun to ring meanwhile
        if (session.listensTo(RINGS_ON)) await calls.appeared(principal.user, id)
        if (session.listensTo(SIGNALS_ON)) await calls.listens(principal.user, id)
      })
    },
    released(session) {
      forget(session)
      presence.handedOver(session.principal.user, session.id)
    },
    caughtUp: ({ id }) => presence.caughtUp(id),
    subscribed(session, destination) {
      const { id, principal } = session
      credentials.subscribed(session, destination)
      if (destination === TURN_QUEUE) turn.listens(id)
      if (destination === MISSED_QUEUE) history?.subscribed(principal.user, id)
      if (destination === RINGS_ON) return calls.appeared(principal.user, id)
      if (destination === SIGNALS_ON) return calls.listens(principal.user, id)
      if (destination === ENDS_ON) return calls.hearsEnds(principal.user, id, principal.token)
      return undefined
    },
  }
}
