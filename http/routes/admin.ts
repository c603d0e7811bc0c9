/**
 * `/imserver/admin/**`: what operators and their back ends may do, guarded by a key of its own (ADMIN_KEY). Without the
 * key nobody may. Wrong keys count as failed logins of their address: each is answered later than the one before.
 */

import { createHash, timingSafeEqual } from 'node:crypto'
import { type Request, type Response, Router } from 'express'
import { peerAddress } from '../../broker/index.ts'
import { userId } from '../../src/calls/messages.ts'
import { RevokeRequest } from '../../src/credentials/messages.ts'
import { type Outcome, type Refusal, refuse } from '../../src/errors.ts'
import type { Awaitable } from '../../src/ports.ts'
import { parseBody } from '../../src/validation.ts'
import { answered } from '../auth.ts'
import { bodyReader } from '../body.ts'
import { send } from '../envelope.ts'
import { historyExport } from '../history-export.ts'
import { routed, wrongMethod } from '../routing.ts'
import type { HttpOptions, HttpServices } from '../services.ts'

export const REVOKE_PATH = '/imserver/admin/sessions/revoke'
export const NODES_PATH = '/imserver/admin/nodes'
export const SESSIONS_PATH = '/imserver/admin/sessions/:user'
export const ERASE_PATH = '/imserver/admin/users/:user/history'
export const EXPORT_PATH = '/imserver/admin/history/export'

export function adminRoutes(services: HttpServices, options: HttpOptions): Router {
  const router = Router()
  const { credentials, admin, history, observer } = services
  const admit = guard(services, options)
  const read = bodyReader(options.bodyBytes)
  const serve = (
    method: 'get' | 'post' | 'delete',
    path: string,
    run: (request: Request, response: Response) => Awaitable<Outcome<unknown>>,
  ) => {
    router[method](path, routed(path), async (request: Request, response: Response) => {
      const outcome = (await admit(request)) ?? (await run(request, response))
      if (!outcome.ok) observer.refused(outcome.code)
      send(response, outcome)
    })
    router.all(path, routed(path), wrongMethod([method], observer))
  }
  serve('post', REVOKE_PATH, async (request, response) => revoke(await read(request, response)))
  serve('get', NODES_PATH, async () => named('nodes', await admin.nodes()))
  serve('get', SESSIONS_PATH, async ({ params }) => named('sessions', await admin.sessions(String(params.user))))
  serve('delete', ERASE_PATH, ({ params }) => erase(String(params.user)))
  const exports = historyExport(services)
  router.get(EXPORT_PATH, routed(EXPORT_PATH), async (request: Request, response: Response) => {
    const outcome = (await admit(request)) ?? (await exports(request, response))
    if (outcome === undefined) return
    observer.refused(outcome.code)
    send(response, outcome)
  })
  router.all(EXPORT_PATH, routed(EXPORT_PATH), wrongMethod(['get'], observer))
  return router

  async function erase(named: string): Promise<Outcome<unknown>> {
    const user = userId.safeParse(named)
    return user.success ? history.erase(user.data) : refuse('badRequest', `user: ${user.error.issues[0]?.message}`)
  }

  async function revoke(body: Uint8Array): Promise<Outcome<unknown>> {
    const message = parseBody(RevokeRequest, body)
    return message.ok ? credentials.revoke(message.data) : message
  }
}

/** Lists are told by name, so that more can stand beside them one day. */
const named = (name: string, list: Outcome<unknown>): Outcome<unknown> =>
  list.ok ? { ok: true, data: { [name]: list.data } } : list

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
