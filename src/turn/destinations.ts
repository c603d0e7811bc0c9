/** Where TURN credentials are in STOMP (contract, section 6). */

import { z } from 'zod'
import type { Broker, Handler } from '../../broker/index.ts'
import { accepted } from '../errors.ts'
import { payload } from '../handlers.ts'
import type { TurnService } from './service.ts'

export const TURN_QUEUE = '/user/queue/turn/get-turn-credentials'

/** The body says nothing: `{}`, or nothing at all. */
const Nothing = z.unknown()

export function turnHandlers(turn: TurnService, broker: Pick<Broker, 'tell'>): Readonly<Record<string, Handler>> {
  return {
    '/app/turn/get-turn-credentials': payload(Nothing, (session) => {
      const credentials = turn.credentialsFor(session.principal.user)
      broker.tell(session.id, TURN_QUEUE, { body: JSON.stringify(credentials) })
      return accepted
    }),
  }
}
