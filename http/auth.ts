/**
 * Who asks: the token of a request, checked, and bounds for those who ask too often or guess. Answers 401, 429, 503
 * itself; what comes after it has a principal.
 */

import type { Request } from 'express'
import { networkOf, type Principal, peerAddress } from '../broker/index.ts'
import { CODES, type Outcome, refuse } from '../src/errors.ts'
import type { HttpOptions, HttpServices } from './services.ts'
import { TokenBuckets } from './token-buckets.ts'

export type Authenticate = (request: Request) => Promise<Outcome<Principal>>

/** One for the whole app: it holds the buckets. */
export function createAuthentication(services: HttpServices, options: HttpOptions): Authenticate {
  const { clock } = services
  const perMinute = options.failedLoginsPerMinute
  const failures = new TokenBuckets({ perSecond: perMinute / 60, burst: perMinute, clock })
  const users = new TokenBuckets({ ...options.userRate, clock })
  const addressOf = peerAddress(options.trustedProxies)

  return async (request) => {
    const token = tokenOf(request)
    if (token === undefined) {
      return refuse('unauthorized', 'token: is missing; send it as header `ide` or `Authorization: Bearer`')
    }
    const address = networkOf(addressOf(request.socket.remoteAddress, request.headers['x-forwarded-for']))
    const pause = failures.wait(address)
    if (pause > 0) {
      return refuse('tooMany', `too many bad tokens from this address; wait ${pause} s`, { retryAfter: pause })
    }
    const principal = await services.authenticate(token)
    if (!principal.ok) {
      if (principal.code === CODES.unauthorized.code) failures.take(address)
      return principal
    }
    const wait = users.take(principal.data.user)
    if (wait > 0) {
      const { perSecond } = options.userRate
      return refuse('tooMany', `more than ${perSecond} requests a second; wait ${wait} s`, { retryAfter: wait })
    }
    return principal
  }
}

/** `ide` counts before `Authorization`: a gateway may use the latter for itself. */
function tokenOf(request: Request): string | undefined {
  const ide = request.get('ide')?.trim()
  if (ide) return ide
  return /^Bearer +(\S+)\s*$/i.exec(request.get('authorization') ?? '')?.[1]
}
