/** All media over the bundled relay, as between two networks that let nothing else through. */

import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import type { Browser } from 'playwright-core'
import { connect, launch, Phone } from './phone.ts'
import { type RunningServer, startServer } from './server.ts'

jest.setTimeout(240_000)

const SECRET = 'the secret that relay and server share in this test'
/** The shortest there is. Browsers refresh an allocation after half its life: twice in a call of this length. */
const LIFETIME_S = 10
const HOLD_MS = 15_000

let server: RunningServer
let one: Browser
let two: Browser

beforeAll(async () => {
  const env = { TURN_SECRET: SECRET, TURN_ALLOCATION_LIFETIME_S: String(LIFETIME_S) }
  ;[server, one, two] = await Promise.all([startServer(env), launch(), launch()])
})

afterAll(async () => {
  await Promise.all([one?.close(), two?.close()])
  await server?.stop()
})

test('a call that may use nothing but the relay outlives the first life of its allocations, without a gap', async () => {
  const [a, b] = await Promise.all([
    Phone.of(one, `${server.url}/?relay=1`, 'alice'),
    Phone.of(two, `${server.url}/?relay=1`, 'bob'),
  ])
  await connect(a, b, 'bob')
  await Promise.all([a.decodes(30), b.decodes(30)])
  for (const phone of [a, b]) {
    expect(await phone.path()).toMatchObject({ local: 'relay', remote: 'relay', relayed: true })
  }
  await a.shot('connected-relay')
  await Promise.all([holds(a), holds(b)])
  // Their relayed addresses would have been gone by now
  await Promise.all([a.decodes(30), b.decodes(30)])
  const [seenByAlice, seenByBob] = await Promise.all([saw(a), saw(b)])
  expect(Math.max(seenByAlice.longestGapMs, seenByBob.longestGapMs)).toBeLessThan(10_000)
  expect(seenByAlice.interruptions + seenByBob.interruptions).toBe(0)
  expect(Math.min(seenByAlice.frames, seenByBob.frames)).toBeGreaterThan(HOLD_MS / 1000)
  expect(await allocations(a)).toBeGreaterThanOrEqual(2)

  await a.press('hang-up')
  await b.tells(/hung up/)
  await a.until(
    async () => !/^carillon_relay_allocations{.*} [1-9]/m.test(await (await fetch('/metrics')).text()),
    null,
  )
  expect([...a.complaints, ...b.complaints]).toEqual([])
  await Promise.all([a.close(), b.close()])
})

test('when the relay dies in the middle of a call, its successor takes over after an ICE restart', async () => {
  const [a, b] = await Promise.all([
    Phone.of(one, `${server.url}/?relay=1`, 'dora'),
    Phone.of(two, `${server.url}/?relay=1`, 'emil'),
  ])
  await connect(a, b, 'emil')
  await Promise.all([a.decodes(10), b.decodes(10)])
  const relays = () => [...server.log().matchAll(/"pid":(\d+),"msg":"relay listens"/g)].map(([, pid]) => Number(pid))
  const said = await Promise.all([a, b].map((phone) => phone.willSay('Connection interrupted, reconnecting')))
  process.kill(relays().at(-1) ?? Number.NaN, 'SIGKILL')
  // Whoever notices first repairs it, perhaps before the other has noticed, and in a moment
  await Promise.any(said.map((heard) => heard()))
  for (const phone of [a, b]) {
    await phone.page.waitForSelector('#stage[data-state=connected][data-interrupted=false]', { timeout: 40_000 })
  }
  await Promise.all([a.decodes(10), b.decodes(10)])
  expect(relays()).toHaveLength(2)
  for (const phone of [a, b]) expect(await phone.transportPolicy()).toBe('relay')
  expect(await a.path()).toMatchObject({ local: 'relay', remote: 'relay' })
  await Promise.all([a.close(), b.close()])
})

interface Seen {
  longestGapMs: number
  interruptions: number
  frames: number
  at: number
}

declare global {
  /** Kept in the page by {@link holds}. */
  var seen: Seen
}

/** Looks at the pictures that arrive until the call has lasted long enough. */
async function holds(phone: Phone): Promise<void> {
  await phone.page.evaluate(() => {
    globalThis.seen = { longestGapMs: 0, interruptions: 0, frames: 0, at: performance.now() }
    carillon.calls[0]?.on('interrupted', () => seen.interruptions++)
  })
  const lasts = async (holdMs: number): Promise<boolean> => {
    const [call] = carillon.calls
    if (!call) throw new Error('the call has ended')
    const report = await call.peerConnection?.getStats()
    report?.forEach((stat: { type: string; kind: string; framesDecoded: number }) => {
      if (stat.type !== 'inbound-rtp' || stat.kind !== 'video') return
      seen.longestGapMs = Math.max(seen.longestGapMs, performance.now() - seen.at)
      if (stat.framesDecoded > seen.frames) seen.at = performance.now()
      seen.frames = stat.framesDecoded
    })
    return call.elapsed >= holdMs
  }
  await phone.until(lasts, HOLD_MS, HOLD_MS + 20_000)
}

const saw = ({ page }: Phone): Promise<Seen> => page.evaluate(() => seen)

async function allocations({ page }: Phone): Promise<number> {
  const metrics = await page.evaluate(async () => (await fetch('/metrics')).text())
  const lines = [...metrics.matchAll(/^carillon_relay_allocations{.*} (\d+)$/gm)]
  return lines.reduce((sum, [, count]) => sum + Number(count), 0)
}

describe('credentials', () => {
  let phone: Phone

  beforeAll(async () => {
    phone = await Phone.of(one, server.url, 'carol')
  })

  afterAll(() => phone.close())

  test('as the server hands them out get a relayed address', async () => {
    expect(await gathers((own) => own)).toEqual({ relayed: true, refusedWith: [] })
  })

  test('with another password are refused', async () => {
    expect(await gathers(({ username }) => ({ username, credential: 'Zm9yZ2Vk' }))).toEqual(refused)
  })

  test('signed with another secret are refused', async () => {
    const username = `${inSeconds(600)}:carol`
    expect(await gathers(() => ({ username, credential: sign(username, 'a guess') }))).toEqual(refused)
  })

  test('that have run out are refused', async () => {
    const username = `${inSeconds(-60)}:carol`
    expect(await gathers(() => ({ username, credential: sign(username, SECRET) }))).toEqual(refused)
  })

  const refused = { relayed: false, refusedWith: [401] }
  const inSeconds = (seconds: number) => Math.floor(Date.now() / 1000) + seconds
  const sign = (username: string, secret: string) => createHmac('sha1', secret).update(username).digest('base64')

  type Credentials = { username: string; credential: string }

  /** What a browser gets from the relay with such credentials, and with which error codes it is sent away. */
  async function gathers(make: (own: Credentials) => Credentials) {
    const { iceServers } = await phone.page.evaluate(() => carillon.turnCredentials())
    const turn = iceServers.find(({ url }) => url.startsWith('turn:'))
    if (!turn?.username || !turn.credential) throw new Error('no relay among the iceServers')
    const { username, credential } = make({ username: turn.username, credential: turn.credential })
    return phone.page.evaluate(
      async (server) => {
        const connection = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: 'relay' })
        const codes = new Set<number>()
        let relayed = false
        connection.onicecandidateerror = ({ errorCode }) => codes.add(errorCode)
        connection.onicecandidate = ({ candidate }) => {
          relayed ||= candidate?.type === 'relay'
        }
        const gathered = new Promise<void>((done) => {
          connection.onicegatheringstatechange = () => {
            if (connection.iceGatheringState === 'complete') done()
          }
        })
        connection.createDataChannel('x')
        await connection.setLocalDescription()
        await gathered
        connection.close()
        // 701 is the browser's own: an interface from which the relay cannot be reached.
        return { relayed, refusedWith: [...codes].filter((code) => code !== 701) }
      },
      { urls: turn.url, username, credential },
    )
  }
})
