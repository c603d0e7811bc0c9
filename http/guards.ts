/** What stands before every request: headers that keep browsers safe, the Origin rule, and the end of service. */

import type { RequestHandler } from 'express'
import { refuse } from '../src/errors.ts'
import { send } from './envelope.ts'
import type { OriginRule } from './origin.ts'
import { routeOf } from './routing.ts'
import type { HttpServices } from './services.ts'

const HEADERS = {
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Permissions-Policy': 'camera=(self), microphone=(self), display-capture=(self), autoplay=(self), geolocation=()',
  // answers that are no pages load nothing at all; pages bring their own policy
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
}

export const securityHeaders: RequestHandler = (_request, response, next) => {
  response.set(HEADERS)
  next()
}

/** Counts every answer, whoever gave it. */
export function counted({ observer, clock }: Pick<HttpServices, 'observer' | 'clock'>): RequestHandler {
  return (request, response, next) => {
    const began = clock.now()
    response.once('close', () => {
      const { method } = request
      const seconds = (clock.now() - began) / 1000
      observer.served({ route: routeOf(response), method, status: response.statusCode, seconds })
    })
    next()
  }
}

/** While the server starts or stops, it says so and when to come back. */
export function inService({ health, observer }: Pick<HttpServices, 'health' | 'observer'>): RequestHandler {
  return (_request, response, next) => {
    const state = health.state()
    if (state === 'ready') {
      next()
      return
    }
    observer.refused(503)
    response.set('Connection', 'close')
    send(response, refuse('unavailable', `the server is ${state}; come back in a moment`, { retryAfter: 2 }))
  }
}

/** CORS (Fetch standard, "HTTP-responses"): tokens travel in headers, never in cookies, so no credentials mode. */
export function crossOrigin(allowed: OriginRule, { observer }: Pick<HttpServices, 'observer'>): RequestHandler {
  return (request, response, next) => {
    const origin = request.get('origin')
    response.vary('Origin')
    if (!allowed(origin, request.get('host'))) {
      observer.refused(403)
      send(
        response,
        refuse('forbidden', 'pages of this origin may not use this server (ALLOWED_ORIGINS), or its Host is not'),
      )
      return
    }
    if (origin !== undefined) {
      response.set({ 'Access-Control-Allow-Origin': origin, 'Access-Control-Expose-Headers': 'Retry-After, ETag' })
    }
    if (request.method === 'OPTIONS' && request.get('access-control-request-method') !== undefined) {
      response.set({
        'Access-Control-Allow-Methods': 'GET, POST',
        'Access-Control-Allow-Headers':
          'ide, authorization, content-type, x-session-id, idempotency-key, if-none-match',
        'Access-Control-Max-Age': '600',
      })
      response.status(204).end()
      return
    }
    next()
  }
}
