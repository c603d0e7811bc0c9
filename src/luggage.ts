/**
 * What the services know of a session, for a process that takes the session over (see `ResumeOptions.packs`). It comes
 * from a process of the same server, which may be of another version: what is not understood is left behind.
 */

import { z } from 'zod'
import type { SessionView } from '../broker/index.ts'
import type { CredentialService } from './credentials/service.ts'
import type { PresenceService } from './presence/service.ts'
import type { Renewal } from './turn/renewal.ts'

export interface Packers {
  readonly presence: Pick<PresenceService, 'packed' | 'unpack'>
  readonly credentials: Pick<CredentialService, 'packed' | 'unpack'>
  readonly turn: Pick<Renewal, 'packed' | 'unpack'>
}

const Users = z.array(z.string())

const Luggage = z.object({
  presence: z.object({ watched: Users, missed: Users, awaySince: z.number().optional() }).optional().catch(undefined),
  former: z
    .array(
      z.object({
        user: z.string(),
        token: z.string(),
        expiresAt: z.number().optional(),
        issuedAt: z.number().optional(),
      }),
    )
    .optional()
    .catch(undefined),
  turn: z.object({ region: z.string().optional() }).optional().catch(undefined),
})

export function packed(session: SessionView, { presence, credentials, turn }: Packers): z.input<typeof Luggage> {
  const { watched, missed, awaySince } = presence.packed(session.id)
  return {
    presence: { watched: [...watched], missed: [...missed], awaySince },
    former: [...credentials.packed(session)],
    turn: turn.packed(session.id),
  }
}

export function unpack(session: SessionView, luggage: unknown, { presence, credentials, turn }: Packers): void {
  const known = Luggage.safeParse(luggage)
  const { presence: watching, former, turn: asked } = known.success ? known.data : {}
  credentials.unpack(session, former ?? [])
  if (watching !== undefined) presence.unpack(session.id, watching)
  if (asked !== undefined) turn.unpack(session.id, asked)
}
