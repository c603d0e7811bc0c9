/** `/imserver/**`: from a request to a command and back to an envelope. Decides nothing. */

import { type Request, type Response, Router } from 'express'
import type { Outcome } from '../../src/errors.ts'
import { settleActor } from '../actor.ts'
import type { Authenticate } from '../auth.ts'
import { type BodyReader, bodyReader } from '../body.ts'
import { ENDPOINTS, type Endpoint } from '../endpoints.ts'
import { send } from '../envelope.ts'
import { routed, wrongMethod } from '../routing.ts'
import type { HttpOptions, HttpServices } from '../services.ts'

export function apiRoutes(services: HttpServices, options: HttpOptions, authenticate: Authenticate): Router {
  const router = Router()
  const read = bodyReader(options.bodyBytes)
  for (const endpoint of ENDPOINTS) {
    router[endpoint.method](endpoint.path, routed(endpoint.path), async (request: Request, response: Response) => {
      const outcome = await serve(endpoint, { services, authenticate, read }, request, response)
      if (!outcome.ok) services.observer.refused(outcome.code)
      send(response, outcome)
    })
    router.all(endpoint.path, routed(endpoint.path), wrongMethod([endpoint.method], services.observer))
  }
  return router
}

interface Means {
  readonly services: HttpServices
  readonly authenticate: Authenticate
  readonly read: BodyReader
}

async function serve(
  endpoint: Endpoint,
  { services, authenticate, read }: Means,
  request: Request,
  response: Response,
): Promise<Outcome<unknown>> {
  const principal = await authenticate(request)
  if (!principal.ok) return principal
  const { user } = principal.data
  const body = await read(request, response)
  try {
    await services.calls.heard(user)
  } catch (error) {
    // that a leg is kept alive is not what was asked for
    services.log.error({ err: error }, 'a call has not learnt that its party is still there')
  }
  // a device is settled last: sessions come and go while a body is on its way
  const actor = settleActor(principal.data, request.get('x-session-id'), await services.sessions(user))
  if (!actor.ok) return actor
  const contentType = jsonType(request.get('content-type'))
  const query = (name: string) => new URLSearchParams(/\?(.*)/.exec(request.url)?.[1]).get(name) ?? undefined
  return endpoint.run(services, { actor: actor.data, frame: { body, contentType }, query })
}

/** The body has been found to be JSON; clients that say otherwise (forms, plain text) just did not think of it. */
function jsonType(given: string | undefined): string {
  return given !== undefined && /^application\/json(; ?charset=[\w-]{1,20})?$/i.test(given) ? given : 'application/json'
}
