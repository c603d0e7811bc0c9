/** Where presence is in STOMP (contract, section 5). */

import type { Broker, Handler } from '../../broker/index.ts'
import { accepted } from '../errors.ts'
import { payload } from '../handlers.ts'
import { StatusQuery, type UserStatus } from './messages.ts'
import type { Audience, PresenceService } from './service.ts'

export const STATUS_TOPIC = '/topic/user/status'

/** The answer goes to the asking session alone, on its subscription to the topic. */
export function presenceHandlers(
  presence: PresenceService,
  broker: Pick<Broker, 'tell'>,
): Readonly<Record<string, Handler>> {
  return {
    '/app/user/status': payload(StatusQuery, (session, users) => {
      presence.watch(session.id, users)
      const tell = (statuses: readonly UserStatus[]) => {
        broker.tell(session.id, STATUS_TOPIC, report(statuses))
        return accepted
      }
      const statuses = presence.status(users)
      return statuses instanceof Promise ? statuses.then(tell) : tell(statuses)
    }),
  }
}

/** Changes are what a device that reads too slowly misses first: it hears how things are when it has caught up. */
export function presenceAudience(broker: Pick<Broker, 'tell' | 'publish' | 'disconnect'>): Audience {
  return {
    tellAll: (changes, missed) => void broker.publish(STATUS_TOPIC, { ...report(changes), missed }),
    tell(devices, changes, missed) {
      const message = { ...report(changes), missed }
      for (const device of devices) broker.tell(device, STATUS_TOPIC, message)
    },
    giveUp: (device) => broker.disconnect(device, POLICY_VIOLATION, 'reads too slowly to be told who is online'),
  }
}

/** RFC 6455 section 7.4.1. */
const POLICY_VIOLATION = 1008

const report = (statuses: readonly UserStatus[]) => ({ body: JSON.stringify(statuses) })
