/**
 * Who asks: the token of a request, checked, and bounds for those who ask too often or guess. Answers 401, 429, 503
 * itself; what comes after it has a principal.
 */

import type { Request } from 'express'
import type { Principal } from '../broker/index.ts'
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

  return async (request) => {
    const token = tokenOf(request)
    if (token === undefined) {
      return refuse('unauthorized', 'token: is missing; send it as header `ide` or `Authorization: Bearer`')
    }
    const address = networkOf(request.ip ?? '')
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

/** An IPv6 host has a whole /64 to ask from. */
export function networkOf(address: string): string {
  const v4 = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (v4 !== undefined || !address.includes(':')) return v4 ?? address
  const [head = '', tail] = address.split('%')[0]!.toLowerCase().split('::')
  const groups = head === '' ? [] : head.split(':')
  if (tail !== undefined) {
    const rest = tail === '' ? 0 : tail.split(':').length
    while (groups.length + rest < 8) groups.push('0')
  }
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':')}::/64`
}
