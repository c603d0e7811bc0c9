/** The network of a page is cut in the middle of things: what one sees, what works meanwhile, and that no call is lost. */

import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { SignJWT } from 'jose'
import type { Browser } from 'playwright-core'
import { CutProxy } from '../support/cut-proxy.ts'
import { freePort } from '../support/free-port.ts'
import { startRedis } from '../support/redis.ts'
import { connect, launch, Phone } from './phone.ts'
import { type RunningServer, startServer } from './server.ts'

jest.setTimeout(180_000)

let browser: Browser
let server: RunningServer
let relayPort: number
const phones: Phone[] = []
const networks: CutProxy[] = []

beforeAll(async () => {
  relayPort = await freePort()
  ;[server, browser] = await Promise.all([startServer({ TURN_PORT: String(relayPort) }), launch()])
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
})

afterEach(async () => {
  const complaints = phones.flatMap((phone) => phone.complaints)
  await Promise.all(phones.splice(0).map((phone) => phone.close()))
  await Promise.all(networks.splice(0).map((network) => network.stop()))
  expect(complaints).toEqual([])
})

/** A phone behind a network of its own, which carries everything but the media. */
async function phone(name: string): Promise<{ phone: Phone; network: CutProxy }> {
  const network = await CutProxy.to(server.port)
  networks.push(network)
  const opened = await Phone.of(browser, `http://127.0.0.1:${network.port}`, name)
  phones.push(opened)
  return { phone: opened, network }
}

async function two(a: string, b: string) {
  const [{ phone: alice, network: hers }, { phone: bob, network: his }] = await Promise.all([phone(a), phone(b)])
  return { alice, hers, bob, his }
}

describe('in the middle of ringing', () => {
  test('the callee reconnects, the call rings on, and is answered', async () => {
    const { alice, bob, his } = await two('alice1', 'bob1')
    await alice.calls('bob1')
    await bob.stage('incoming')
    his.cut()
    await bob.reconnects('You can answer')
    await bob.shot('reconnecting-incoming')
    await bob.stage('incoming')
    await alice.stage('ringing')
    his.heal()
    await bob.isBack()
    await bob.press('accept')
    await Promise.all([alice.stage('connected'), bob.stage('connected')])
    await Promise.all([alice.decodes(10), bob.decodes(10)])
  })

  test('the callee answers without a connection, which counts as soon as there is one', async () => {
    const { alice, bob, his } = await two('alice2', 'bob2')
    await alice.calls('bob2')
    await bob.stage('incoming')
    his.cut()
    await bob.reconnects('You can answer')
    await bob.press('accept')
    await bob.reconnects('answer is sent')
    await bob.shot('reconnecting-answered')
    his.heal()
    await Promise.all([alice.stage('connected'), bob.stage('connected')])
    await Promise.all([alice.decodes(10), bob.decodes(10)])
  })

  test('the caller reconnects, and hears of an answer that was given meanwhile', async () => {
    const { alice, hers, bob } = await two('alice3', 'bob3')
    await alice.calls('bob3')
    await bob.stage('incoming')
    await alice.stage('ringing')
    hers.cut()
    await alice.reconnects('Reconnecting')
    await alice.shot('reconnecting-ringing')
    await bob.press('accept')
    await bob.stage('connecting')
    hers.heal()
    await Promise.all([alice.stage('connected'), bob.stage('connected')])
    await Promise.all([alice.decodes(10), bob.decodes(10)])
  })

  test('the caller takes it back without a connection, and the callee hears of it when there is one', async () => {
    const { alice, hers, bob } = await two('alice4', 'bob4')
    await alice.calls('bob4')
    await bob.stage('incoming')
    hers.cut()
    await alice.reconnects('Reconnecting')
    await alice.press('hang-up')
    await alice.tells('Call cancelled')
    hers.heal()
    await bob.tells('Missed call from alice4')
  })
})

test('a page that is loaded again in the middle of ringing rings again, and is answered', async () => {
  const { alice, bob } = await two('alice0', 'bob0')
  await alice.calls('bob0')
  await bob.stage('incoming')
  await bob.page.reload()
  await bob.stage('incoming')
  await alice.stage('ringing')
  await bob.press('accept')
  await Promise.all([alice.stage('connected'), bob.stage('connected')])
  await Promise.all([alice.decodes(10), bob.decodes(10)])
})

describe('in the middle of a call', () => {
  test('two go on talking while both are cut off, and it ends as ever', async () => {
    const { alice, hers, bob, his } = await two('alice5', 'bob5')
    await connect(alice, bob, 'bob5')
    await Promise.all([alice.decodes(10), bob.decodes(10)])
    hers.cut()
    his.cut()
    await Promise.all([alice.reconnects('go on talking'), bob.reconnects('go on talking')])
    await alice.shot('reconnecting-connected')
    const before = await alice.time()
    await Promise.all([alice.decodes(40), bob.decodes(40)])
    expect(await alice.time()).not.toBe(before)
    hers.heal()
    his.heal()
    await Promise.all([alice.isBack(), bob.isBack()])
    await alice.shot('reconnected')
    await Promise.all([alice.stage('connected'), bob.stage('connected')])
    await Promise.all([alice.decodes(10), bob.decodes(10)])
    await bob.press('hang-up')
    await alice.tells('bob5 hung up')
  })

  test('a camera that was switched meanwhile is seen by the other side as soon as the server is back', async () => {
    const { alice, hers, bob } = await two('alice6', 'bob6')
    await connect(alice, bob, 'bob6')
    await Promise.all([alice.decodes(10), bob.decodes(10)])
    hers.cut()
    await alice.reconnects('go on talking')
    await alice.switchesCamera(false)
    await alice.switchesCamera(true)
    hers.heal()
    await alice.isBack()
    await Promise.all([alice.decodes(10), bob.decodes(10)])
  })

  test('a hang-up into a network that only swallows arrives over another one', async () => {
    const { alice, hers, bob } = await two('alice7', 'bob7')
    await connect(alice, bob, 'bob7')
    await Promise.all([alice.decodes(10), bob.decodes(10)])
    const back = await alice.comesBack()
    hers.strand()
    await alice.press('hang-up')
    await alice.tells('You hung up')
    await bob.tells('alice7 hung up')
    expect(await back()).toBe(true)
    await connect(bob, alice, 'alice7')
  })
})

/** A phone whose media go through its network as well, over the relay and TCP: without it, it has nothing. */
async function mobile(name: string): Promise<{ phone: Phone; networks: readonly CutProxy[] }> {
  const [signalling, media] = await Promise.all([CutProxy.to(server.port), CutProxy.to(relayPort)])
  networks.push(signalling, media)
  const opened = await Phone.of(browser, `http://127.0.0.1:${signalling.port}`, name, { relayPort: media.port })
  phones.push(opened)
  return { phone: opened, networks: [signalling, media] }
}

describe('a phone that has nothing but its network', () => {
  test('is without it for a while: it says so, and so does the other, and both see each other again', async () => {
    const [{ phone: alice, networks: hers }, { phone: bob }] = await Promise.all([mobile('alice8'), mobile('bob8')])
    await connect(alice, bob, 'bob8')
    await Promise.all([alice.decodes(10), bob.decodes(10)])
    for (const network of hers) network.cut()
    await alice.reconnects('Reconnecting')
    await Promise.all([alice.says('Connection interrupted'), bob.says('Connection interrupted')])
    await alice.shot('reconnecting-all')
    await bob.shot('interrupted-other')
    for (const network of hers) network.heal()
    await alice.isBack()
    await Promise.all([alice.isWhole(), bob.isWhole()])
    await Promise.all([alice.decodes(10), bob.decodes(10)])
  })

  test('changes from one network to another without a word from the first', async () => {
    const [{ phone: alice, networks: hers }, { phone: bob }] = await Promise.all([mobile('alice9'), mobile('bob9')])
    await connect(alice, bob, 'bob9')
    await Promise.all([alice.decodes(10), bob.decodes(10)])
    const back = await alice.comesBack()
    for (const network of hers) network.strand()
    expect(await back()).toBe(true)
    await Promise.all([alice.isWhole(), bob.isWhole()])
    await Promise.all([alice.decodes(10), bob.decodes(10)])
    await bob.press('hang-up')
    await alice.tells('bob9 hung up')
  })
})

const SECRET = 'a secret of this test alone, which is long enough'

/** A phone with a token that several servers take. */
async function pasted(name: string, at: number): Promise<Phone> {
  const network = await CutProxy.to(at)
  networks.push(network)
  const opened = await Phone.open(browser, `http://127.0.0.1:${network.port}`)
  phones.push(opened)
  const token = new SignJWT({ sub: name }).setProtectedHeader({ alg: 'HS256' }).setExpirationTime('1h')
  await opened.signInWith(name, await token.sign(new TextEncoder().encode(SECRET)))
  return opened
}

test('a call that is connected and one that rings outlive the restart of their server beside another one', async () => {
  const redis = await startRedis()
  const env = { REDIS_URL: redis.url, AUTH_JWT_SECRET: SECRET }
  const [first, second] = await Promise.all([startServer(env), startServer(env)])
  const [alice, bob, carol, dora] = await Promise.all([
    pasted('alice10', first.port),
    pasted('bob10', first.port),
    pasted('carol10', first.port),
    pasted('dora10', first.port),
  ])
  await connect(alice, bob, 'bob10')
  await carol.calls('dora10')
  await dora.stage('incoming')
  for (const network of networks) network.leadTo(second.port)
  const back = await Promise.all([alice, bob, carol, dora].map((one) => one.comesBack()))
  await first.stop()
  expect(await Promise.all(back.map((resumed) => resumed()))).toEqual([true, true, true, true])
  await alice.says('Connected')
  await Promise.all([alice.decodes(20), bob.decodes(20)])
  await dora.stage('incoming')
  await dora.press('accept')
  await Promise.all([carol.stage('connected'), dora.stage('connected')])
  await Promise.all([carol.decodes(10), dora.decodes(10)])
  await bob.press('hang-up')
  await alice.tells('bob10 hung up')
  await second.stop()
  await redis.stop()
})
