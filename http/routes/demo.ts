/** `POST /demo/token`: in demo mode anybody gets a token for any name. Without demo mode the path does not exist. */

import { type Request, type Response, Router } from 'express'
import { z } from 'zod'
import { userId } from '../../src/calls/messages.ts'
import { parseBody } from '../../src/validation.ts'
import { bodyReader } from '../body.ts'
import { send } from '../envelope.ts'
import { routed, wrongMethod } from '../routing.ts'
import type { HttpOptions, HttpServices } from '../services.ts'

export const DEMO_PATH = '/demo/token'

export const DemoTokenQuery = z.looseObject(
  {
    userId: userId.refine((text) => !/[\p{Cc}\p{Cs}]/u.test(text), 'must not contain control characters'),
    role: z.literal('service', 'must be service').nullish().describe('The token of a back end (`/api/v1/rtc`).'),
  },
  'body: must be a JSON object',
)

export const DemoToken = z.object({
  token: z.string(),
  userId: z.string(),
  expiresAt: z.int().describe('Unix seconds.'),
})

export function demoRoutes(services: HttpServices, options: HttpOptions): Router {
  const router = Router()
  const { demo, observer } = services
  if (demo === undefined) return router
  const read = bodyReader(options.bodyBytes)
  router.post(DEMO_PATH, routed(DEMO_PATH), async (request: Request, response: Response) => {
    const query = parseBody(DemoTokenQuery, await read(request, response))
    if (!query.ok) {
      observer.refused(query.code)
      send(response, query)
      return
    }
    const { userId: user, role } = query.data
    const { token, expiresAt } = await demo.mint(user, role === 'service')
    send(response, { ok: true, data: { token, userId: user, expiresAt: Math.floor(expiresAt / 1000) } })
  })
  router.all(DEMO_PATH, routed(DEMO_PATH), wrongMethod(['post'], observer))
  return router
}
