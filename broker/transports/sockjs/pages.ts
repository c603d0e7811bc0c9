/**
 * What SockJS answers beside its transports (sockjs-protocol 0.3.3): the greeting, what the server can do, the page for
 * iframes; and the headers that say who may read an answer and how long it may be kept.
 */

import { createHash, randomInt } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'

export const PLAIN = 'text/plain; charset=UTF-8'

const YEAR_S = 365 * 24 * 60 * 60

/** An answer that is whole. */
export function answer(response: ServerResponse, status: number, body = '', contentType = PLAIN): void {
  const octets = Buffer.from(body)
  // A 204 has no content, and still a type: Firefox would take it for broken XML (XhrPolling.test_transport)
  const headers = status === 204 ? {} : { 'Content-Length': octets.length }
  response.writeHead(status, { ...headers, 'Content-Type': contentType })
  response.end(octets)
}

export function greet(response: ServerResponse): void {
  answer(response, 200, 'Welcome to SockJS!\n')
}

export function notFound(response: ServerResponse): void {
  answer(response, 404, '404 Error: Page not found\n')
}

/** "405 / method not allowed", without a body (RFC 9110 section 15.5.6). */
export function wrongMethod(response: ServerResponse, allowed: string): void {
  response.writeHead(405, { Allow: allowed, 'Content-Length': 0 })
  response.end()
}

/** What a client asks before it chooses a transport. */
export function info(response: ServerResponse, can: { readonly webSocket: boolean; readonly cookie: boolean }): void {
  const facts = {
    websocket: can.webSocket,
    origins: ['*:*'],
    cookie_needed: can.cookie,
    entropy: randomInt(2 ** 32),
  }
  answer(response, 200, JSON.stringify(facts), 'application/json; charset=UTF-8')
}

/** The page that a page of another origin shows in an iframe, where CORS cannot be had. */
export function iframePage(clientUrl: string): (request: IncomingMessage, response: ServerResponse) => void {
  const page = `<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script src="${clientUrl}"></script>
  <script>
    document.domain = document.domain;
    SockJS.bootstrap_iframe();
  </script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>`
  const tag = `"${createHash('sha256').update(page).digest('base64url')}"`
  return (request, response) => {
    keepable(response)
    response.setHeader('ETag', tag)
    if (request.headers['if-none-match'] === tag) response.writeHead(304).end()
    else answer(response, 200, page, 'text/html; charset=UTF-8')
  }
}

/** The answer to a preflight (Fetch standard, "CORS protocol"). */
export function preflight(response: ServerResponse, method: string): void {
  keepable(response)
  response.setHeader('Access-Control-Allow-Methods', `OPTIONS, ${method}`)
  response.setHeader('Access-Control-Max-Age', YEAR_S)
  response.writeHead(204).end()
}

/** Lets a page of the asking origin read the answer. Whether that origin may come in at all was settled before. */
export function readable({ headers }: IncomingMessage, response: ServerResponse): void {
  response.setHeader('Access-Control-Allow-Origin', headers.origin ?? '*')
  response.setHeader('Vary', 'Origin')
  if (headers.origin !== undefined) response.setHeader('Access-Control-Allow-Credentials', 'true')
  const asked = headers['access-control-request-headers']
  if (asked) response.setHeader('Access-Control-Allow-Headers', asked)
}

export function notKept(response: ServerResponse): void {
  response.setHeader('Cache-Control', 'no-store, no-cache, no-transform, must-revalidate, max-age=0')
}

function keepable(response: ServerResponse): void {
  response.setHeader('Cache-Control', `public, max-age=${YEAR_S}`)
  response.setHeader('Expires', new Date(Date.now() + YEAR_S * 1000).toUTCString())
}

/** Load balancers keep a client on one server by this cookie; one that is there already is given back. */
export function setCookie({ headers }: IncomingMessage, response: ServerResponse): void {
  const [, given] = /(?:^|;\s*)JSESSIONID=([\w.!~*-]{1,128})(?:;|$)/.exec(headers.cookie ?? '') ?? []
  response.setHeader('Set-Cookie', `JSESSIONID=${given ?? 'dummy'}; path=/`)
}
