/**
 * Who is connected, as the faces ask for it: devices for commands over HTTP, reports for operators. Knows the directory;
 * with one process that is the broker itself.
 */

import type { Broker, BrokerCounts, SessionView } from '../broker/index.ts'
import { RINGS_ON } from './calls/service.ts'
import { type Outcome, refuse } from './errors.ts'
import { VERSION } from './pages.ts'
import { type Awaitable, type Directory, type KnownDevice, Unavailable, type UserId } from './ports.ts'
import type { NodeReport, SessionReport } from './reports.ts'

/** The name of the one process where there is no other. */
const HERE = 'here'

/** The devices of the one process. */
export function ownDirectory(
  broker: () => Pick<Broker, 'held' | 'reachable'>,
  former: (session: SessionView) => readonly string[],
): Directory {
  return {
    devices(user) {
      const ringable = broker().reachable(user, RINGS_ON)
      const rings = (session: SessionView) =>
        session.away ? ringable.includes(session.id) : session.listensTo(RINGS_ON)
      return broker()
        .held(user)
        .map((session) => deviceOf(session, former(session), rings(session)))
    },
  }
}

const deviceOf = (session: SessionView, former: readonly string[], rings: boolean): KnownDevice => ({
  id: session.id,
  node: HERE,
  token: session.principal.token,
  former,
  rings,
  away: session.away,
  connectedAt: session.connectedAt,
})

/** Those that a command over HTTP may come from. What cannot be known now is as if it were not there. */
export function connectedDevices(directory: Directory, user: UserId): Awaitable<readonly KnownDevice[]> {
  const known = directory.devices(user)
  return known instanceof Promise ? known.then(withoutAway, none) : withoutAway(known)
}

const withoutAway = (devices: readonly KnownDevice[]) => devices.filter(({ away }) => !away)

function none(error: unknown): readonly KnownDevice[] {
  if (error instanceof Unavailable) return []
  throw error
}

/** For operators. */
export async function reportsOf(directory: Directory, user: UserId): Promise<Outcome<readonly SessionReport[]>> {
  try {
    const known = await directory.devices(user)
    const data = known.map(({ id, node, connectedAt, rings, away }) => ({
      sessionId: id,
      node,
      connectedAt,
      rings,
      away,
    }))
    return { ok: true, data }
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error
    return refuse('unavailable', 'who is connected is known in Redis, which cannot be reached', { retryAfter: 2 })
  }
}

/** The one process, for operators. */
export function thisServer(name: string, startedAt: number, { sessions, away, users }: BrokerCounts): NodeReport {
  return { id: HERE, name, version: VERSION, startedAt, self: true, sessions, away, users }
}
