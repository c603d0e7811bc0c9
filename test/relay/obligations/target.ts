/**
 * Who is under test: the bundled relay, or a real coturn (the jest project `coturn`). The obligations are written from
 * RFC 8489 and RFC 8656 and not from either, so that each tells whether the tests can be trusted with the other.
 * Where coturn does otherwise, {@link rfc} says so in the test, and the test holds it to that.
 */

import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll } from '@jest/globals'
import type { RelaySettings } from '../../../src/adapters/node-turn/options.ts'
import { mint } from '../../../src/turn/credentials.ts'
import { type CertificateFiles, certificateFiles } from '../../support/certificate-files.ts'
import { type Coturn, startCoturn } from '../../support/coturn.ts'
import { closing, relay } from '../fixture.ts'
import {
  CLASS,
  type Credential,
  type Draft,
  encode,
  METHOD,
  Peer,
  Reply,
  type Transport,
  TurnClient,
} from '../turn-client.ts'

declare global {
  /** Set by the jest project. */
  var relayUnderTest: 'coturn' | undefined
}

export const coturn = globalThis.relayUnderTest === 'coturn'
export const SECRET = 'the secret of relay and broker'
/** While the secret is being changed, what was made with the one of before is still good. */
export const PREVIOUS_SECRET = 'the secret of before'
export const REALM = 'carillon'

/** What the RFC demands, and what coturn 4.6 does where that differs. */
export function rfc<T>(demands: T, deviating?: { readonly coturn: T }): T {
  return coturn && deviating ? deviating.coturn : demands
}

export interface Target {
  /** Credentials that are good for `seconds` from now on the clock of the relay. */
  credential(user: string, seconds?: number): Credential
  /** Over a 5-tuple of its own; without a name, as somebody who was not there before. */
  client(user?: string, way?: Way): Promise<TurnClient>
  stranger(credential: Credential, way?: Way): Promise<TurnClient>
  peer(ip?: string): Promise<Peer>
}

/** How a client comes. */
export interface Way {
  readonly transport?: Transport
  readonly ip?: string
}

let people = 0

/**
 * One coturn for a file, one bundled relay for each test; both relay to loopback and to no other private address. They
 * listen at `ips`, over TLS, too, when it is said so.
 */
export function target({ ips = ['127.0.0.1'], tls = false } = {}): () => Promise<Target> {
  let running: Coturn | undefined
  let certificate: CertificateFiles | undefined
  const used = new Set<number>()
  beforeAll(async () => {
    if (!coturn) return
    certificate = tls ? certificateFiles() : undefined
    const options = { secret: SECRET, realm: REALM, ips, flags: LIKE_OURS }
    running = await startCoturn(certificate ? { ...options, certificate } : options)
  })
  afterAll(async () => {
    await running?.stop()
    certificate?.remove()
  })
  afterEach(() => {
    people++
  })
  const ours: Partial<RelaySettings> = {
    secrets: [SECRET, PREVIOUS_SECRET],
    listenIps: ips,
    publicIps: ips,
    allowPeers: ['127.0.0.0/8', '::1'],
    tls: tls ? { port: 0, certificate: 'self-made' } : undefined,
  }
  return async () => {
    const own = running ? undefined : await relay(ours)
    const ports = running ?? { port: own?.address.port ?? 0, tlsPort: own?.tlsAddress.port ?? 0 }
    const now = () => (own ? own.clock.now() : Date.now()) / 1000
    const credential = (user: string, seconds = 600) => mint(SECRET, user, now() + seconds)
    const stranger = async (credentials: Credential, way: Way = {}): Promise<TurnClient> => {
      const { transport = 'udp', ip = '127.0.0.1' } = way
      const server = { address: ip, port: transport === 'tls' ? ports.tlsPort : ports.port }
      const client = closing(await TurnClient.open(server, credentials, transport))
      // coturn still has the allocations of those who were there before, and ports come back
      if (used.has(client.local.port)) return stranger(credentials, way)
      if (running) used.add(client.local.port)
      return client
    }
    return {
      credential,
      stranger,
      client: (user = `user-${++people}`, way = {}) => stranger(credential(user), way),
      peer: async (ip = '127.0.0.1') => closing(await Peer.open(ip)),
    }
  }
}

/** As operators are told to start it (docs/operations.md), with loopback open. */
const LIKE_OURS = [
  '--allow-loopback-peers',
  `--static-auth-secret=${PREVIOUS_SECRET}`,
  '--no-multicast-peers',
  '--user-quota=32',
  ...[
    '0.0.0.0-0.255.255.255',
    '10.0.0.0-10.255.255.255',
    '100.64.0.0-100.127.255.255',
    '169.254.0.0-169.254.255.255',
    '172.16.0.0-172.31.255.255',
    '192.0.0.0-192.0.0.255',
    '192.168.0.0-192.168.255.255',
  ].map((range) => `--denied-peer-ip=${range}`),
]

export type Outcome = 'success' | 'silence' | number

/** The answer to a message that must have one: coturn asks another thread for keys, so that probes overtake it. */
export async function answer(client: TurnClient, message: Draft | Buffer): Promise<Exclude<Outcome, 'silence'>> {
  client.sendRaw(Buffer.isBuffer(message) ? message : encode(message))
  const { class: kind, code = 0 } = new Reply((await client.next()).bytes)
  return kind === CLASS.success ? 'success' : code
}

/** What a message comes to that needs no credentials. Silence is when probes that were sent after it, one after the other, have been answered. */
export async function outcome(client: TurnClient, message: Draft | Buffer): Promise<Outcome> {
  client.sendRaw(Buffer.isBuffer(message) ? message : encode(message))
  for (let probe = 0; probe < 5; probe++) {
    const transaction = randomBytes(12)
    client.sendRaw(encode({ method: METHOD.binding, transaction }))
    const first = new Reply((await client.next()).bytes)
    if (first.transaction === transaction.toString('hex')) continue
    // the answer to the probe
    await client.next()
    return first.class === CLASS.success ? 'success' : (first.code ?? 0)
  }
  return 'silence'
}
