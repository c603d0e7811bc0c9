/** `/api/v1/rtc/**`: from a request to a command and back to an envelope. Decides nothing. */

import { type Request, type Response, Router } from 'express'
import type { Authenticate } from '../auth.ts'
import { type BodyReader, bodyReader } from '../body.ts'
import { send } from '../envelope.ts'
import { routed, wrongMethod } from '../routing.ts'
import type { HttpOptions, HttpServices } from '../services.ts'
import type { Asked } from './asked.ts'
import { RTC_ENDPOINTS, type RtcEndpoint } from './endpoints.ts'
import { markDone, type RtcOutcome } from './envelope.ts'
import { versionIn } from './looking.ts'
import { Waiting } from './waiting.ts'

/** `authenticate`: the same as of every other face, whose rates these requests share. */
export function rtcRoutes(services: HttpServices, options: HttpOptions, authenticate: Authenticate): Router {
  const router = Router()
  const { observer } = services
  const means = { services, authenticate, read: bodyReader(options.bodyBytes), waiting: new Waiting(services) }
  for (const endpoint of RTC_ENDPOINTS) {
    const { method, path } = endpoint
    router[method](path, routed(path), async (request: Request, response: Response) => {
      const outcome = await serve(endpoint, means, request, response)
      if (!outcome.ok) observer.refused(outcome.code)
      markDone(response, endpoint.done)
      if (endpoint.tagged === true && outcome.ok) sendTagged(request, response, outcome)
      else send(response, outcome)
    })
    router.all(path, routed(path), wrongMethod([method], observer))
  }
  return router
}

interface Means {
  readonly services: HttpServices
  readonly authenticate: Authenticate
  readonly read: BodyReader
  readonly waiting: Waiting
}

async function serve(
  endpoint: RtcEndpoint,
  { services, authenticate, read, waiting }: Means,
  request: Request,
  response: Response,
): Promise<RtcOutcome> {
  const identity = await authenticate(request, true)
  if (!identity.ok) return identity
  const body = await read(request, response)
  const query = new URLSearchParams(/\?(.*)/.exec(request.url)?.[1])
  const asked: Asked = {
    services,
    waiting,
    identity: identity.data,
    body,
    param: (name) => String(request.params[name]),
    query: (name) => query.get(name) ?? undefined,
    header: (name) => request.get(name),
    left(listener) {
      if (response.destroyed || request.socket.destroyed) listener()
      response.once('close', listener)
      return () => void response.off('close', listener)
    },
  }
  return endpoint.run(asked)
}

/** With the ETag of what is told, or with a 304 to who has it already (RFC 9110 section 13.1.2). */
function sendTagged(request: Request, response: Response, outcome: RtcOutcome & { readonly ok: true }): void {
  const { version } = outcome.data as { version: string }
  response.set('ETag', `"${version}"`)
  if (versionIn(request.get('if-none-match')) !== version) {
    send(response, outcome)
    return
  }
  response.set('Cache-Control', 'no-store').status(304).end()
}
