/** What the page says and does when something is missing: an answer, a camera, the server, a token. */

import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { SignJWT } from 'jose'
import type { Browser } from 'playwright-core'
import { freePort } from '../support/free-port.ts'
import { connect, launch, Phone } from './phone.ts'
import { type RunningServer, startServer } from './server.ts'

jest.setTimeout(60_000)

let browser: Browser
let server: RunningServer
const phones: Phone[] = []

beforeAll(async () => {
  ;[server, browser] = await Promise.all([startServer({ RING_TIMEOUT_MS: '2000' }), launch()])
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
})

afterEach(async () => {
  await Promise.all(phones.splice(0).map((phone) => phone.close()))
})

async function phone(name: string, url = server.url, from = browser): Promise<Phone> {
  const opened = await Phone.of(from, url, name)
  phones.push(opened)
  return opened
}

test('a call that nobody answers ends by itself on both sides', async () => {
  const [a, b] = await Promise.all([phone('alice1'), phone('bob1')])
  await a.calls('bob1')
  await b.stage('incoming')
  await a.tells('No answer from bob1')
  await b.tells('Missed call from alice1')
  await a.shot('no-answer')
})

test('a call to somebody who is not there rings until the time is over', async () => {
  const a = await phone('alice2')
  await a.calls('nobody')
  await a.stage('calling')
  await a.shot('calling')
  await a.tells('No answer from nobody')
})

test('one can be called without camera and microphone, and is told what is missing', async () => {
  const strict = await launch({ asks: true })
  const [a, b] = await Promise.all([phone('alice3'), phone('bob3', server.url, strict)])
  await a.calls('bob3')
  await b.stage('incoming')
  await b.press('accept')
  await Promise.all([a.stage('connected'), b.stage('connected')])
  await b.decodes(10)
  await b.complains(/may not use the camera and microphone/)
  await b.page.locator('#mute').filter({ hasText: 'No microphone' }).waitFor()
  await b.shot('camera-refused')
  await strict.close()
})

test('a call outlives its server: the page says what has happened, comes back by itself, and hangs up as ever', async () => {
  const port = String(await freePort())
  const env = { PORT: port, AUTH_JWT_SECRET: SECRET }
  const first = await startServer(env)
  const [a, b] = await Promise.all([pasted('alice4', first.url), pasted('bob4', first.url)])
  await connect(a, b, 'bob4')
  await Promise.all([a.decodes(5), b.decodes(5)])
  await first.stop()
  await a.connection('reconnecting')
  await a.shot('reconnecting')
  await Promise.all([a.complains(/server has restarted/), b.complains(/server has restarted/)])
  await Promise.all([a.decodes(20), b.decodes(20)])
  const second = await startServer(env)
  await Promise.all([a.connection('online'), b.connection('online')])
  await Promise.all([a.says('Connected, without the server'), b.says('Connected, without the server')])
  await a.shot('forgotten')
  await a.decodes(20)
  await a.press('hang-up')
  await Promise.all([a.tells('You hung up'), b.tells('alice4 hung up')])
  await connect(b, a, 'alice4')
  await second.stop()
})

const SECRET = 'a secret of this test alone, which is long enough'

async function token(user: string, secret = SECRET): Promise<string> {
  const jwt = new SignJWT({ sub: user }).setProtectedHeader({ alg: 'HS256' }).setIssuedAt().setExpirationTime('1h')
  return jwt.sign(new TextEncoder().encode(secret))
}

/** Signed in with a token of the operator's own issuer. */
async function pasted(name: string, url: string): Promise<Phone> {
  const opened = await Phone.open(browser, url)
  phones.push(opened)
  await opened.signInWith(name, await token(name))
  return opened
}

describe('a server with a key of its own', () => {
  let keyed: RunningServer

  beforeAll(async () => {
    keyed = await startServer({ AUTH_JWT_SECRET: SECRET })
  })

  afterAll(() => keyed?.stop())

  test('gives no demo tokens: the page asks for one to paste', async () => {
    const a = await Phone.open(browser, keyed.url)
    phones.push(a)
    await a.shot('sign-in')
    await a.page.fill('#name', 'alice')
    await a.page.click('#sign-in-form button[type=submit]')
    await a.page.locator('#sign-in-error').filter({ hasText: 'paste a token' }).waitFor()
    await a.shot('sign-in-token')
    await a.page.fill('#token', await token('alice'))
    await a.page.click('#sign-in-form button[type=submit]')
    await a.connection('online')
    await a.page.reload()
    await a.connection('online')
  })

  test('a token that it refuses brings back the question, with the reason, and is not tried for ever', async () => {
    const a = await Phone.open(browser, keyed.url)
    phones.push(a)
    await a.page.fill('#name', 'alice')
    await a.page.click('#sign-in-form button[type=submit]')
    await a.page.fill('#token', await token('alice', 'some other secret, also long enough to be one'))
    await a.page.click('#sign-in-form button[type=submit]')
    await a.page.locator('#sign-in-error').filter({ hasText: 'refused this sign-in' }).waitFor()
    await a.shot('sign-in-refused')
    expect(await a.page.evaluate(() => carillon.state)).toBe('offline')
  })
})
