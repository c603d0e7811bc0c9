/**
 * `/imserver/admin/**`: what operators and their back ends may do, guarded by a key of its own (ADMIN_KEY). Without the
 * key nobody may. Wrong keys count as failed logins of their address: each is answered later than the one before.
 */

import { createHash, timingSafeEqual } from 'node:crypto'
import { type Request, type Response, Router } from 'express'
import { peerAddress } from '../../broker/index.ts'
import { RevokeRequest } from '../../src/credentials/messages.ts'
import { type Outcome, type Refusal, refuse } from '../../src/errors.ts'
import { parseBody } from '../../src/validation.ts'
import { answered } from '../auth.ts'
import { bodyReader } from '../body.ts'
import { send } from '../envelope.ts'
import { routed, wrongMethod } from '../routing.ts'
import type { HttpOptions, HttpServices } from '../services.ts'

export const REVOKE_PATH = '/imserver/admin/sessions/revoke'

export function adminRoutes(services: HttpServices, options: HttpOptions): Router {
  const router = Router()
  const { credentials, observer } = services
  const admit = guard(services, options)
  const read = bodyReader(options.bodyBytes)
  router.post(REVOKE_PATH, routed(REVOKE_PATH), async (request: Request, response: Response) => {
    const outcome = (await admit(request)) ?? (await revoke(await read(request, response)))
    if (!outcome.ok) observer.refused(outcome.code)
    send(response, outcome)
  })
  router.all(REVOKE_PATH, routed(REVOKE_PATH), wrongMethod(['post'], observer))
  return router

  async function revoke(body: Uint8Array): Promise<Outcome<unknown>> {
    const message = parseBody(RevokeRequest, body)
    return message.ok ? credentials.revoke(message.data) : message
  }
}

/** Why this request may not; nothing when it has the key. */
function guard({ logins }: HttpServices, { adminKey, trustedProxies }: HttpOptions) {
  const addressOf = peerAddress(trustedProxies)
  const expected = adminKey === undefined ? undefined : digest(adminKey)

  return async (request: Request): Promise<Refusal | undefined> => {
    if (expected === undefined) return refuse('forbidden', 'this is switched off: start the server with an ADMIN_KEY')
    const address = addressOf(request.socket.remoteAddress, request.headers['x-forwarded-for'])
    const turnedAway = logins.turnedAway(address)
    if (turnedAway) return { ok: false, ...turnedAway }
    const given = keyOf(request)
    if (given !== undefined && timingSafeEqual(digest(given), expected)) return undefined
    const refusal =
      given === undefined
        ? refuse('unauthorized', 'key: is missing; send it as header `X-Admin-Key`')
        : refuse('unauthorized', 'key: is not the one that this server was started with')
    return answered(logins, request, address, refusal)
  }
}

function keyOf(request: Request): string | undefined {
  const own = request.get('x-admin-key')?.trim()
  if (own) return own
  return /^Bearer +(\S+)\s*$/i.exec(request.get('authorization') ?? '')?.[1]
}

/** Of equal length whatever the key's: what is compared tells nothing by the time it takes. */
const digest = (key: string): Buffer => createHash('sha256').update(key).digest()
