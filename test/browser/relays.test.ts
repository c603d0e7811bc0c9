/**
 * Calls that may use nothing but a relay, over each transport that a network may let through: through the bundled relay,
 * and through a coturn that knows our secret and nothing else of us.
 */

import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals'
import type { Browser } from 'playwright-core'
import { type CertificateFiles, certificateFiles } from '../support/certificate-files.ts'
import { type Coturn, startCoturn } from '../support/coturn.ts'
import { connect, launch, Phone } from './phone.ts'
import { type RunningServer, startServer } from './server.ts'

jest.setTimeout(120_000)

const SECRET = 'the secret that relay and server share in this test'

let certificate: CertificateFiles
let one: Browser
let two: Browser

beforeAll(async () => {
  certificate = certificateFiles()
  const trusts = certificate.fingerprint
  ;[one, two] = await Promise.all([launch({ trusts }), launch({ trusts })])
})

afterAll(async () => {
  await Promise.all([one?.close(), two?.close()])
  certificate?.remove()
})

const TRANSPORTS = [
  ['udp', /^turn:.*transport=udp$/],
  ['tcp', /^turn:.*transport=tcp$/],
  ['tls', /^turns:.*transport=tcp$/],
] as const

/** Runs in the page: whether it gets a relayed address from these servers. */
async function gathersRelay(iceServers: string): Promise<boolean> {
  const connection = new RTCPeerConnection({ iceServers: JSON.parse(iceServers), iceTransportPolicy: 'relay' })
  connection.createDataChannel('x')
  const gathered = new Promise<boolean>((resolve) => {
    connection.onicecandidate = ({ candidate }) => {
      if (candidate?.type === 'relay') resolve(true)
      // the last one is none
      if (!candidate) resolve(false)
    }
  })
  await connection.setLocalDescription()
  const relayed = await gathered
  connection.close()
  return relayed
}

let calls = 0

interface CallOptions {
  readonly users?: readonly [string, string]
  /** Done while they see each other. */
  readonly during?: () => Promise<void>
}

/** Two pages that know these servers only call each other, and see each other through the relay. */
async function expectCall(
  server: RunningServer,
  transport: string,
  servers: RegExp,
  { users: [alice, bob] = [`alice${++calls}`, `bob${calls}`], during = async () => {} }: CallOptions = {},
): Promise<void> {
  const url = `${server.url}/?relay=1`
  const [a, b] = await Promise.all([Phone.of(one, url, alice, { servers }), Phone.of(two, url, bob, { servers })])
  await connect(a, b, bob)
  await Promise.all([a.decodes(30), b.decodes(30)])
  for (const phone of [a, b]) {
    expect(await phone.path()).toMatchObject({ local: 'relay', remote: 'relay', relayed: true })
    expect(await phone.relayProtocol()).toBe(transport)
  }
  await during()
  expect([...a.complaints, ...b.complaints]).toEqual([])
  await a.press('hang-up')
  await b.tells(/hung up/)
  await Promise.all([a.close(), b.close()])
}

describe('through the bundled relay', () => {
  let server: RunningServer

  beforeAll(async () => {
    server = await startServer({
      TURN_SECRET: SECRET,
      TURN_PORT: '0',
      TURN_TLS_CERT: certificate.cert,
      TURN_TLS_KEY: certificate.key,
    })
  })

  afterAll(() => server?.stop())

  test.each(TRANSPORTS)('two browsers see each other over %s', async (transport, servers) => {
    await expectCall(server, transport, servers)
  })

  test('a browser that does not trust the certificate gets no relay over TLS', async () => {
    const strict = await launch()
    const phone = await Phone.of(strict, server.url, 'sceptic')
    const { iceServers } = await phone.page.evaluate(() => carillon.turnCredentials())
    const turns = iceServers.filter(({ url }) => url.startsWith('turns:'))
    expect(turns).toHaveLength(1)
    expect(await phone.page.evaluate(gathersRelay, JSON.stringify(turns))).toBe(false)
    await strict.close()
    const trusting = await Phone.of(one, server.url, 'believer')
    expect(await trusting.page.evaluate(gathersRelay, JSON.stringify(turns))).toBe(true)
    await trusting.close()
  })
})

describe('through two processes of the bundled relay', () => {
  let server: RunningServer

  beforeAll(async () => {
    server = await startServer({ TURN_PORT: '0', TURN_WORKERS: '2' })
  })

  afterAll(() => server?.stop())

  test('two browsers see each other, each relayed by another one', async () => {
    const busy = async () => {
      const metrics = await (await fetch(`${server.url}/metrics`)).text()
      return [...metrics.matchAll(/^carillon_relay_allocations{worker="\d",transport="udp"} [1-9]/gm)].length
    }
    // they report once a second
    const during = async () => {
      while ((await busy()) < 2);
    }
    // names whose hashes send them to different ones
    await expectCall(server, 'udp', /^turn:.*transport=udp$/, { users: ['dora', 'emil'], during })
  })
})

describe('through coturn, with the credentials that we give', () => {
  let coturn: Coturn
  let server: RunningServer

  beforeAll(async () => {
    coturn = await startCoturn({ secret: SECRET, certificate, flags: ['--allow-loopback-peers'] })
    const { port, tlsPort } = coturn
    server = await startServer({
      TURN_SECRET: SECRET,
      TURN_ENABLED: 'false',
      TURN_URLS: ['udp', 'tcp']
        .map((transport) => `turn:127.0.0.1:${port}?transport=${transport}`)
        .concat(`turns:127.0.0.1:${tlsPort}?transport=tcp`)
        .join(),
    })
  })

  afterAll(async () => {
    await server?.stop()
    await coturn?.stop()
  })

  test.each(TRANSPORTS)('two browsers see each other over %s', async (transport, servers) => {
    await expectCall(server, transport, servers)
  })
})
