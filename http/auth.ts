/**
 * Who asks: the token of a request, checked, and bounds for those who ask too often or guess. Answers 401, 429, 503
 * itself; what comes after it has a principal.
 */

import type { Request } from 'express'
import { peerAddress, type Refused } from '../broker/index.ts'
import { CODES, type Outcome, type Refusal, refuse } from '../src/errors.ts'
import type { HttpOptions, HttpServices, Identity } from './services.ts'
import { TokenBuckets } from './token-buckets.ts'

/**
 * A refusal of a bad token may wait; when the client leaves meanwhile, it is given to nobody at once. `asService`: back
 * ends are known here, and have a rate of their own; elsewhere they are users like others.
 */
export type Authenticate = (request: Request, asService?: boolean) => Promise<Outcome<Identity>>

/** One for the whole app: it holds the buckets. */
export function createAuthentication(services: HttpServices, options: HttpOptions): Authenticate {
  const { clock, logins, observer } = services
  const users = new TokenBuckets({ ...options.userRate, clock })
  const backEnds = new TokenBuckets({ ...options.serviceRate, clock })
  const addressOf = peerAddress(options.trustedProxies)

  return async (request, asService = false) => {
    const address = addressOf(request.socket.remoteAddress, request.headers['x-forwarded-for'])
    const token = tokenOf(request)
    const principal =
      token === undefined
        ? refuse('unauthorized', 'token: is missing; send it as header `ide` or `Authorization: Bearer`')
        : await services.authenticate(token)
    if (!principal.ok)
      return principal.code === CODES.unauthorized.code ? answered(logins, request, address, principal) : principal
    const isService = asService && principal.data.service === true
    const wait = (isService ? backEnds : users).take(principal.data.user)
    if (wait > 0) {
      observer.limited()
      const { perSecond } = isService ? options.serviceRate : options.userRate
      return refuse('tooMany', `more than ${perSecond} requests a second of this user; wait ${wait} s`, {
        retryAfter: wait,
      })
    }
    return principal
  }
}

/** The refusal, when the guard lets it be told. */
export function answered(
  logins: HttpServices['logins'],
  request: Request,
  address: string,
  { ok, ...refusal }: Refusal,
): Promise<Refusal> {
  return new Promise((resolve) => {
    const tell = (refused: Refused) => resolve({ ok, ...refused })
    const cancel = logins.refused(address, refusal, tell)
    const leaves = () => {
      cancel()
      tell(refusal)
    }
    if (request.socket.destroyed) leaves()
    else request.res?.once('close', leaves)
  })
}

/** `ide` counts before `Authorization`: a gateway may use the latter for itself. */
function tokenOf(request: Request): string | undefined {
  const ide = request.get('ide')?.trim()
  if (ide) return ide
  return /^Bearer +(\S+)\s*$/i.exec(request.get('authorization') ?? '')?.[1]
}
