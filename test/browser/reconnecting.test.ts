/** The network of a page is cut in the middle of things: what one sees, what works meanwhile, and that no call is lost. */

import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import { SignJWT } from 'jose'
import type { Browser } from 'playwright-core'
import { CutProxy } from '../support/cut-proxy.ts'
import { freePort } from '../support/free-port.ts'
import { type RedisServer, startRedis } from '../support/redis.ts'
import { connect, launch, Phone } from './phone.ts'
import { type RunningServer, startServer } from './server.ts'

jest.setTimeout(180_000)

/** A phone behind networks of its own. */
interface Person {
  readonly phone: Phone
  readonly signalling: CutProxy
  readonly networks: readonly CutProxy[]
}

const SECRET = 'a secret of this test alone, which is long enough'

let browser: Browser
let server: RunningServer
/** Two that are one, over Redis; their tokens come from somewhere else. */
let nodes: readonly [RunningServer, RunningServer]
let redis: RedisServer
/** The same two all the time, one after the other in all that can happen to them: to open a page takes longer. */
let alice: Phone
let bob: Phone
/** Their signalling. The media have ways of their own. */
let hers: CutProxy
let his: CutProxy
/** Phones whose media go through their networks as well, over the relay and TCP: without them, they have nothing. */
let mobiles: readonly [Person, Person]
const phones: Phone[] = []
const networks: CutProxy[] = []

beforeAll(async () => {
  const relayPort = await freePort()
  const asOne = async () => {
    redis = await startRedis()
    const env = { REDIS_URL: redis.url, AUTH_JWT_SECRET: SECRET }
    return Promise.all([startServer(env), startServer(env)])
  }
  ;[server, browser, nodes] = await Promise.all([startServer({ TURN_PORT: String(relayPort) }), launch(), asOne()])
  const arrive = async (name: string, ...ports: number[]): Promise<Person> => {
    const own = await Promise.all([server.port, ...ports].map(networkTo))
    const [signalling, media] = own as [CutProxy, CutProxy | undefined]
    const options = { small: true, network: signalling, ...(media ? { relayPort: media.port } : {}) }
    const phone = await Phone.of(browser, `http://127.0.0.1:${signalling.port}`, name, options)
    phones.push(phone)
    return { phone, signalling, networks: own }
  }
  const [a, b, ...others] = await Promise.all([
    arrive('alice'),
    arrive('bob'),
    arrive('carol', relayPort),
    arrive('dora', relayPort),
  ])
  alice = a.phone
  hers = a.signalling
  bob = b.phone
  his = b.signalling
  mobiles = others
})

afterAll(async () => {
  await browser?.close()
  await Promise.all(networks.map((network) => network.stop()))
  await server?.stop()
  // The first has stopped already, if all went well
  await nodes?.[0].stop().catch(() => {})
  await nodes?.[1].stop()
  await redis?.stop()
})

/** Alice and bob are in no call any more, their networks are whole, and no page has anything to complain of. */
afterEach(async () => {
  const two = [alice, bob]
  for (const network of [hers, his]) network.heal()
  await Promise.all(two.map((phone) => phone.hangsUpAll()))
  await Promise.all(two.map((phone) => Promise.all([phone.stage('idle'), phone.connection('online')])))
  expect(phones.flatMap((phone) => phone.newComplaints())).toEqual([])
})

/**
 * What happens to others goes on beside what happens to alice and bob, for most of it is waiting. What is returned ends as
 * the story does.
 */
function meanwhile(story: () => Promise<void>): () => Promise<void> {
  let told: Promise<void> | undefined
  beforeAll(() => {
    told = story()
    told.catch(() => {}) // the test that waits for it says so
  })
  return async () => told
}

async function networkTo(port: number): Promise<CutProxy> {
  const network = await CutProxy.to(port)
  networks.push(network)
  return network
}

/** A phone with a token that several servers take. */
async function pasted(name: string, at: number): Promise<Phone> {
  const network = await networkTo(at)
  const opened = await Phone.open(browser, `http://127.0.0.1:${network.port}`, { small: true })
  phones.push(opened)
  const token = new SignJWT({ sub: name }).setProtectedHeader({ alg: 'HS256' }).setExpirationTime('1h')
  await opened.signInWith(name, await token.sign(new TextEncoder().encode(SECRET)))
  return opened
}

const withoutNetwork = meanwhile(async () => {
  const [{ phone: carol, networks: hers }, { phone: dora }] = mobiles
  await connect(carol, dora, 'dora')
  await Promise.all([carol.decodes(5), dora.decodes(5)])
  for (const network of hers) network.cut()
  await carol.reconnects('Reconnecting')
  await Promise.all([carol.says('Connection interrupted'), dora.says('Connection interrupted')])
  await carol.shot('reconnecting-all')
  await dora.shot('interrupted-other')
  for (const network of hers) network.heal()
  await carol.isBack()
  await Promise.all([carol.isWhole(), dora.isWhole()])
  await Promise.all([carol.decodes(5), dora.decodes(5)])
  await carol.press('hang-up')
})

const fromOneToAnother = meanwhile(async () => {
  await withoutNetwork()
  const [{ phone: carol, networks: hers }, { phone: dora }] = mobiles
  await connect(carol, dora, 'dora')
  await Promise.all([carol.decodes(5), dora.decodes(5)])
  const back = await carol.comesBack()
  for (const network of hers) network.strand()
  expect(await back()).toBe(true)
  await Promise.all([carol.isWhole(), dora.isWhole()])
  await Promise.all([carol.decodes(5), dora.decodes(5)])
  await dora.press('hang-up')
  await carol.tells('dora hung up')
})

describe('in the middle of ringing', () => {
  test('the callee reconnects, the call rings on, and is answered', async () => {
    await alice.calls('bob')
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
    await Promise.all([alice.decodes(5), bob.decodes(5)])
  })

  test('the callee answers without a connection, which counts as soon as there is one', async () => {
    await alice.calls('bob')
    await bob.stage('incoming')
    his.cut()
    await bob.reconnects('You can answer')
    await bob.press('accept')
    await bob.reconnects('answer is sent')
    await bob.shot('reconnecting-answered')
    his.heal()
    await Promise.all([alice.stage('connected'), bob.stage('connected')])
    await Promise.all([alice.decodes(5), bob.decodes(5)])
  })

  test('the caller reconnects, and hears of an answer that was given meanwhile', async () => {
    await alice.calls('bob')
    await bob.stage('incoming')
    await alice.stage('ringing')
    hers.cut()
    await alice.reconnects('Reconnecting')
    await alice.shot('reconnecting-ringing')
    await bob.press('accept')
    await bob.stage('connecting')
    hers.heal()
    await Promise.all([alice.stage('connected'), bob.stage('connected')])
    await Promise.all([alice.decodes(5), bob.decodes(5)])
  })

  test('the caller takes it back without a connection, and the callee hears of it when there is one', async () => {
    await alice.calls('bob')
    await bob.stage('incoming')
    hers.cut()
    await alice.reconnects('Reconnecting')
    await alice.press('hang-up')
    await alice.tells('Call cancelled')
    hers.heal()
    await bob.tells('Missed call from alice')
  })
})

test('a page that is loaded again in the middle of ringing rings again, and is answered', async () => {
  await alice.calls('bob')
  await bob.stage('incoming')
  await bob.page.reload()
  await bob.stage('incoming')
  await alice.stage('ringing')
  await bob.press('accept')
  await Promise.all([alice.stage('connected'), bob.stage('connected')])
  await Promise.all([alice.decodes(5), bob.decodes(5)])
})

describe('in the middle of a call', () => {
  test('two go on talking while both are cut off, and it ends as ever', async () => {
    await connect(alice, bob, 'bob')
    await Promise.all([alice.decodes(5), bob.decodes(5)])
    hers.cut()
    his.cut()
    await Promise.all([alice.reconnects('go on talking'), bob.reconnects('go on talking')])
    await alice.shot('reconnecting-connected')
    const before = await alice.time()
    await Promise.all([alice.decodes(15), bob.decodes(15)])
    expect(await alice.time()).not.toBe(before)
    hers.heal()
    his.heal()
    await Promise.all([alice.isBack(), bob.isBack()])
    await alice.shot('reconnected')
    await Promise.all([alice.stage('connected'), bob.stage('connected')])
    await Promise.all([alice.decodes(5), bob.decodes(5)])
    await bob.press('hang-up')
    await alice.tells('bob hung up')
  })

  test('a camera that was switched meanwhile is seen by the other side as soon as the server is back', async () => {
    await connect(alice, bob, 'bob')
    await Promise.all([alice.decodes(5), bob.decodes(5)])
    hers.cut()
    await alice.reconnects('go on talking')
    await alice.switchesCamera(false)
    await alice.switchesCamera(true)
    hers.heal()
    await alice.isBack()
    await Promise.all([alice.decodes(5), bob.decodes(5)])
  })

  test('a hang-up into a network that only swallows arrives over another one', async () => {
    await connect(alice, bob, 'bob')
    await Promise.all([alice.decodes(5), bob.decodes(5)])
    const back = await alice.comesBack()
    hers.strand()
    await alice.press('hang-up')
    await alice.tells('You hung up')
    await bob.tells('alice hung up')
    expect(await back()).toBe(true)
    await connect(bob, alice, 'alice')
  })
})

describe('a phone that has nothing but its network', () => {
  test('is without it for a while: it says so, and so does the other, and both see each other again', withoutNetwork)

  test('changes from one network to another without a word from the first', fromOneToAnother)
})

test('a call that is connected and one that rings outlive the restart of their server beside another one', async () => {
  const [first, second] = nodes
  const before = networks.length
  const [erin, frank, gina, hugo] = await Promise.all([
    pasted('erin', first.port),
    pasted('frank', first.port),
    pasted('gina', first.port),
    pasted('hugo', first.port),
  ])
  await connect(erin, frank, 'frank')
  await gina.calls('hugo')
  await hugo.stage('incoming')
  for (const network of networks.slice(before)) network.leadTo(second.port)
  const back = await Promise.all([erin, frank, gina, hugo].map((one) => one.comesBack()))
  await first.stop()
  expect(await Promise.all(back.map((resumed) => resumed()))).toEqual([true, true, true, true])
  await erin.says('Connected')
  await Promise.all([erin.decodes(5), frank.decodes(5)])
  await hugo.stage('incoming')
  await hugo.press('accept')
  await Promise.all([gina.stage('connected'), hugo.stage('connected')])
  await Promise.all([gina.decodes(5), hugo.decodes(5)])
  await frank.press('hang-up')
  await erin.tells('frank hung up')
})
