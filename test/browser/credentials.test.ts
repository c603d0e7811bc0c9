/** The softphone and tokens that end: the server says so early, and the page puts another one in its place. */

import { afterAll, beforeAll, expect, jest, test } from '@jest/globals'
import type { Browser } from 'playwright-core'
import { launch, Phone } from './phone.ts'
import { type RunningServer, startServer } from './server.ts'

jest.setTimeout(60_000)

let server: RunningServer
let browser: Browser

beforeAll(async () => {
  // Longer than a token of the demo lives: every session is told at once
  ;[server, browser] = await Promise.all([startServer({ TOKEN_WARNING_S: '86400' }), launch()])
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
})

test('a token that ends is replaced in place, and the page keeps the new one', async () => {
  const phone = await Phone.open(browser, server.url)
  const { page } = phone
  const connections: string[] = []
  const replaced = new Promise<void>((done) => {
    page.on('websocket', (socket) => {
      connections.push(socket.url())
      socket.on('framereceived', ({ payload }) => payload.toString().includes('REFRESHED') && done())
    })
  })
  const issued: Promise<string>[] = []
  page.on('response', (response) => {
    if (response.url().endsWith('/demo/token')) issued.push(response.json().then(({ data }) => data.token))
  })
  await phone.signIn('alice')
  await replaced
  expect(issued).toHaveLength(2)
  const kept = await page.evaluate(() => JSON.stringify({ ...sessionStorage }))
  expect(kept).toContain(await issued[1])
  expect(connections).toHaveLength(1)
  expect(phone.complaints).toEqual([])
  await phone.close()
})
