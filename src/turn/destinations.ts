/** Where TURN credentials are in STOMP (contract, section 6): asked for, and told anew before they end. */

import { z } from 'zod'
import type { Broker, Handler, SessionView } from '../../broker/index.ts'
import { accepted } from '../errors.ts'
import { payload } from '../handlers.ts'
import type { DeviceId } from '../ports.ts'
import { Renewal } from './renewal.ts'
import type { TurnService } from './service.ts'

export const TURN_QUEUE = '/user/queue/turn/get-turn-credentials'

/** Clients in the field send `{}` or nothing, and nobody has ever looked at it: what is not understood says nothing. */
const Asked = z.object({ region: z.string().optional().catch(undefined) }).catch({})

/** `asked` is told of the session and of the region that it has named, if there is one of that name. */
export function turnHandlers(
  turn: TurnService,
  broker: Pick<Broker, 'tell'>,
  asked: (session: SessionView, region: string | undefined) => void = () => undefined,
): Readonly<Record<string, Handler>> {
  return {
    '/app/turn/get-turn-credentials': payload(Asked, (session, { region: named }) => {
      const region = turn.regionNamed(named)
      const credentials = turn.credentialsFor(session.principal.user, region)
      broker.tell(session.id, TURN_QUEUE, { body: JSON.stringify(credentials) })
      asked(session, region)
      return accepted
    }),
  }
}

/** Fresh credentials for sessions that have asked, of the region that they have named. */
export function turnRenewal(
  turn: TurnService,
  broker: Pick<Broker, 'tell' | 'session'>,
  clock: ConstructorParameters<typeof Renewal>[0]['clock'],
): Renewal {
  const tell = (id: DeviceId, region: string | undefined) => {
    const session = broker.session(id)
    if (!session?.listensTo(TURN_QUEUE)) return 'unheard'
    const credentials = turn.credentialsFor(session.principal.user, region)
    if (credentials.iceServers.every(({ credential }) => credential === null)) return 'nothing'
    return broker.tell(id, TURN_QUEUE, { body: JSON.stringify(credentials) }) ? 'told' : 'unheard'
  }
  return new Renewal({ clock, ttlSeconds: turn.ttlSeconds, tell })
}
