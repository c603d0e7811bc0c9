/** What browsers load: the softphone, the client and the libraries it imports, and the page of this API. */

import { join } from 'node:path'
import express, { type RequestHandler, type Response, Router } from 'express'
import { docsPolicy, pagePolicy } from '../csp.ts'
import { openApi } from '../openapi.ts'
import { markRoute, routed } from '../routing.ts'
import type { HttpOptions, HttpServices } from '../services.ts'

export function pageRoutes({ pages, version }: HttpOptions, { demo }: Pick<HttpServices, 'demo'>): Router {
  const router = Router()
  if (pages.swaggerUi !== undefined)
    router.use('/docs', routed('docs'), docs(pages.swaggerUi, openApi({ demo: demo !== undefined, version })))
  if (pages.client !== undefined) router.use('/client', folder(pages.client))
  if (pages.stompjs !== undefined) router.use('/vendor/stompjs', folder(pages.stompjs))
  if (pages.sockjs !== undefined) router.get('/vendor/sockjs.min.js', routed('static'), file(pages.sockjs))
  if (pages.web !== undefined) router.use(page(pages.web))
  return router
}

/** Changed files must be seen at the next load; ETags make that cheap. */
function folder(path: string, setHeaders?: (response: Response) => void): RequestHandler {
  return express.static(path, {
    index: false,
    redirect: false,
    dotfiles: 'ignore',
    setHeaders(response: Response) {
      markRoute(response, 'static')
      response.set('Cache-Control', 'no-cache')
      setHeaders?.(response)
    },
  })
}

function file(path: string): RequestHandler {
  return (_request, response, next) => {
    response.sendFile(path, { headers: { 'Cache-Control': 'no-cache' } }, (error) => {
      if (error) next()
    })
  }
}

function page(web: string): RequestHandler[] {
  const policy = pagePolicy(web)
  const headers = (response: Response) => response.set('Content-Security-Policy', policy(response.req.get('host')))
  const index: RequestHandler = (request, _response, next) => {
    if (request.path === '/') request.url = '/index.html'
    next()
  }
  return [index, folder(web, headers)]
}

const SWAGGER_FILES = ['swagger-ui.css', 'swagger-ui-bundle.js', 'favicon-32x32.png']

const INDEX = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Carillon: HTTP API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<main id="api"></main>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
`

// without validatorUrl the page would show a badge from another host
const START = `SwaggerUIBundle({ url: '/docs/openapi.json', dom_id: '#api', deepLinking: true, validatorUrl: null })\n`

function docs(swaggerUi: string, document: object): Router {
  const router = Router()
  router.use((_request, response, next) => {
    response.set({ 'Content-Security-Policy': docsPolicy, 'Cache-Control': 'no-cache' })
    next()
  })
  router.get('/', (_request, response) => void response.type('html').send(INDEX))
  router.get('/start.js', (_request, response) => void response.type('js').send(START))
  router.get('/openapi.json', (_request, response) => void response.json(document))
  for (const name of SWAGGER_FILES) router.get(`/${name}`, file(join(swaggerUi, name)))
  return router
}
