/** What machines ask that watch this one: is it alive, shall it get traffic, how is it doing. */

import { type Request, type Response, Router } from 'express'
import type { RelayHealth } from '../../src/ports.ts'
import { routed } from '../routing.ts'
import type { HttpServices } from '../services.ts'

export function operationRoutes({ health, metrics }: HttpServices): Router {
  const router = Router()

  router.get('/livez', routed('/livez'), (_request, response) => {
    response.set('Cache-Control', 'no-store').json({ status: 'live' })
  })

  router.get('/readyz', routed('/readyz'), (_request, response) => {
    const status = health.state()
    const redis = health.shared?.()
    const history = health.history?.()
    response
      .set('Cache-Control', 'no-store')
      // without what it shares with others it serves those whom it has, and can begin nothing for new ones
      .status(status === 'ready' && redis !== 'down' ? 200 : 503)
      // a relay that is down is told, but takes nobody out of service: calls go on without it; so they do without a history
      .json({
        status,
        ...(redis && { redis }),
        ...(history && { history }),
        relay: health.relay.state(),
        ...workersOf(health.relay),
      })
  })

  router.get('/metrics', routed('/metrics'), async (_request: Request, response: Response) => {
    const text = await metrics.render()
    response.set('Cache-Control', 'no-store').type(metrics.contentType).send(text)
  })

  return router
}

/** Of a relay of several processes also how each of them is doing. */
function workersOf(relay: RelayHealth): { relayWorkers?: readonly string[] } {
  const states = relay.workers?.().map(({ state }) => state) ?? []
  return states.length > 1 ? { relayWorkers: states } : {}
}
