/** Small steps that several routers share: which route a request has taken, and requests that lead nowhere. */

import type { RequestHandler, Response } from 'express'
import { refuse } from '../src/errors.ts'
import { send } from './envelope.ts'
import type { HttpServices } from './services.ts'

/** Notes the pattern under which a request is counted. */
export function markRoute(response: Response, route: string): void {
  response.locals.route = route
}

/** The same as a step of a route. */
export function routed(route: string): RequestHandler {
  return (_request, response, next) => {
    markRoute(response, route)
    next()
  }
}

/** Requests that reached no route are counted together: their paths are anybody's invention. */
export function routeOf(response: Response): string {
  const route: unknown = response.locals.route
  return typeof route === 'string' ? route : 'unknown'
}

/** The table of codes has no 405: the path exists for other methods only, so 404 and `Allow` say which. */
export function wrongMethod(methods: readonly string[], observer: HttpServices['observer']): RequestHandler {
  const allow = [...methods.map((method) => method.toUpperCase()), 'OPTIONS'].join(', ')
  return (request, response) => {
    response.set('Allow', allow)
    if (request.method === 'OPTIONS') {
      response.status(204).end()
      return
    }
    observer.refused(404)
    send(response, refuse('notFound', `${request.method} is not possible here; allowed: ${allow}`))
  }
}

export function notFound(observer: HttpServices['observer']): RequestHandler {
  return (_request, response) => {
    observer.refused(404)
    send(response, refuse('notFound', 'no such path'))
  }
}
