/** What is thrown on the way: a body that cannot be read is the client's fault, anything else a bug of ours. */

import type { ErrorRequestHandler } from 'express'
import { type Refusal, refuse } from '../src/errors.ts'
import { BodyFault } from './body.ts'
import { send } from './envelope.ts'
import type { HttpOptions, HttpServices } from './services.ts'

export function errorHandler({ log, observer }: HttpServices, { bodyBytes }: HttpOptions): ErrorRequestHandler {
  return (error: unknown, request, response, _next) => {
    let refusal = faultOfClient(error, bodyBytes)
    if (refusal === undefined) {
      log.error({ err: error, method: request.method, path: request.path }, 'a request has met a bug')
      refusal = refuse('internal', 'a fault of the server; it has been logged')
    }
    if (response.headersSent) {
      response.destroy()
      return
    }
    observer.refused(refusal.code)
    send(response, refusal)
  }
}

/** Beside faults of bodies there are those of the router (an address that cannot be decoded), which have a status. */
function faultOfClient(error: unknown, bodyBytes: number): Refusal | undefined {
  if (error instanceof BodyFault) {
    switch (error.fault) {
      case 'too large':
        return refuse('tooLarge', `body: must have at most ${bodyBytes} bytes`)
      case 'encoded':
        return refuse('badRequest', 'body: must be sent without Content-Encoding')
      case 'not whole':
        return refuse('badRequest', 'body: was not sent as its headers say')
    }
  }
  const { status } = error instanceof Error ? (error as Error & { status?: unknown }) : {}
  return status === 400 ? refuse('badRequest', 'the address cannot be decoded') : undefined
}
