/**
 * The HTTP face, put together: guards, then routes, then what leads nowhere. Knows no adapter and listens nowhere;
 * `main.ts` brings services and a server. WebSocket and SockJS are taken by the broker before requests come here.
 */

import express, { type Express } from 'express'
import { createAuthentication } from './auth.ts'
import { errorHandler } from './error-handler.ts'
import { counted, crossOrigin, inService, securityHeaders } from './guards.ts'
import { originAllowed } from './origin.ts'
import { adminRoutes } from './routes/admin.ts'
import { apiRoutes } from './routes/api.ts'
import { DEMO_PATH, demoRoutes } from './routes/demo.ts'
import { operationRoutes } from './routes/operations.ts'
import { pageRoutes } from './routes/pages.ts'
import { notFound } from './routing.ts'
import { RTC_PATH, rtcWording } from './rtc/envelope.ts'
import { rtcRoutes } from './rtc/routes.ts'
import type { HttpOptions, HttpServices } from './services.ts'

/** Every answer of the API is an envelope, every refusal one from the table; nothing thrown gets out. */
export function createHttpApp(services: HttpServices, options: HttpOptions): Express {
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', false)

  const origins = originAllowed(options.allowedOrigins, { loopbackOnly: services.demo !== undefined })
  app.use(counted(services), securityHeaders)
  app.use(operationRoutes(services))
  app.use(RTC_PATH, rtcWording)
  app.use(['/imserver', RTC_PATH, DEMO_PATH], crossOrigin(origins, services), inService(services))
  const authenticate = createAuthentication(services, options)
  app.use(apiRoutes(services, options, authenticate))
  app.use(rtcRoutes(services, options, authenticate))
  app.use(adminRoutes(services, options))
  app.use(demoRoutes(services, options))
  app.use(pageRoutes(options, services))
  app.use(notFound(services.observer))
  app.use(errorHandler(services, options))
  return app
}
