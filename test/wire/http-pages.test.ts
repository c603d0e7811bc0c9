import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Face, FakeServices, serveFace } from '../support/http-face.ts'

const MAP = '\n{ "imports": { "carillon/client": "/client/index.js" } }\n'

const FILES = {
  'web/index.html': `<!doctype html><SCRIPT type="importmap">${MAP}</SCRIPT><script type="module" src="app.js"></script>`,
  'web/app.js': 'export {}',
  'web/.env': 'SECRET=1',
  'client/index.js': 'export const client = 1',
  'stompjs/index.js': 'export const stomp = 1',
  'secret.txt': 'not for you',
}

let folder: string
let face: Face
let fake: FakeServices

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pages-'))
  for (const [name, text] of Object.entries(FILES)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
  fake = new FakeServices()
  face = await serveFace(fake, {
    pages: {
      web: join(folder, 'web'),
      client: join(folder, 'client'),
      stompjs: join(folder, 'stompjs'),
      sockjs: resolve('node_modules/sockjs-client/dist/sockjs.min.js'),
      swaggerUi: resolve('node_modules/swagger-ui-dist'),
    },
  })
})
afterAll(async () => {
  await face.close()
  rmSync(folder, { recursive: true })
})

const get = (path: string, headers: Record<string, string> = {}) => face.ask(path, { method: 'GET', headers })

describe('the softphone', () => {
  test('is served at /, and may load its own files only', async () => {
    const { status, headers, text } = await get('/')
    expect({ status, text }).toEqual({ status: 200, text: FILES['web/index.html'] })
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    const policy = String(headers['content-security-policy'])
    const hash = createHash('sha256').update(MAP).digest('base64')
    expect(policy).toContain(`script-src 'self' 'sha256-${hash}';`)
    expect(policy).toContain("default-src 'none'")
    expect(policy).toContain(`connect-src 'self' ws://${face.host} wss://${face.host};`)
    expect(policy).not.toMatch(/unsafe|https:|\*/)
  })

  test('gets no policy from the Host header of whoever asks', async () => {
    for (const host of ["x; script-src 'unsafe-inline'", 'a b', '*']) {
      const { headers } = await get('/', { host })
      expect(headers['content-security-policy']).toContain("connect-src 'self';")
    }
  })

  test('may use camera and microphone, and is framed by nobody', async () => {
    const { headers } = await get('/')
    expect(headers).toMatchObject({
      'permissions-policy': expect.stringMatching(/camera=\(self\), microphone=\(self\)/),
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'referrer-policy': 'no-referrer',
    })
    expect(headers['x-powered-by']).toBeUndefined()
  })

  test('is asked for again only when it has changed', async () => {
    const { headers } = await get('/app.js')
    expect(headers['cache-control']).toBe('no-cache')
    expect((await get('/app.js', { 'if-none-match': String(headers.etag) })).status).toBe(304)
  })
})

describe('modules', () => {
  test.each([
    ['/app.js', FILES['web/app.js']],
    ['/client/index.js', FILES['client/index.js']],
    ['/vendor/stompjs/index.js', FILES['stompjs/index.js']],
  ])('are served as JavaScript: %s', async (path, text) => {
    const told = await get(path)
    expect(told).toMatchObject({ status: 200, text })
    expect(told.headers['content-type']).toMatch(/^text\/javascript/)
  })

  test('include SockJS for old browsers', async () => {
    const { status, text } = await get('/vendor/sockjs.min.js')
    expect(status).toBe(200)
    expect(text).toContain('SockJS')
  })

  test.each([
    '/../secret.txt',
    '/client/../../secret.txt',
    '/client/..%2f..%2fsecret.txt',
    '/client/%2e%2e/%2e%2e/secret.txt',
    '/.env',
    '/client/',
    '/client',
    '/vendor/stompjs/none.js',
    '/docs/package.json',
    '/docs/../package.json',
    '/%00',
  ])('are all that is served: not %s', async (path) => {
    const { status, text } = await get(path)
    expect([404, 400, 403]).toContain(status)
    expect(text).not.toContain('not for you')
    expect(text).not.toContain('SECRET')
  })

  test('are counted together', async () => {
    fake.served.length = 0
    await get('/client/index.js')
    await get('/docs/start.js')
    expect(fake.served.map(({ route }) => route)).toEqual(['static', 'docs'])
  })
})

describe('/docs', () => {
  test('shows the document of this API, and loads nothing from elsewhere', async () => {
    const page = await get('/docs')
    expect(page.status).toBe(200)
    const links = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link = '']) => link)
    expect(links).toHaveLength(4)
    for (const link of links) expect([link, (await get(link)).status]).toEqual([link, 200])
    expect(page.headers['content-security-policy']).toMatch(/default-src 'none'; script-src 'self';/)
    expect((await get('/docs/start.js')).text).toContain("url: '/docs/openapi.json'")
    const { json } = await get('/docs/openapi.json')
    expect(json).toMatchObject({ openapi: '3.1.0', info: { version: '1.2.3' } })
    expect(json).not.toMatchObject({ paths: { '/demo/token': {} } })
  })
})

test('pages that are not there are 404, and nothing else breaks', async () => {
  const bare = await serveFace(new FakeServices(), { pages: { web: join(folder, 'none') } })
  for (const path of ['/', '/docs', '/client/index.js', '/vendor/sockjs.min.js']) {
    expect((await bare.ask(path, { method: 'GET' })).status).toBe(404)
  }
  expect((await bare.ask('/imserver/call/hangup')).status).toBe(200)
  await bare.close()
})
