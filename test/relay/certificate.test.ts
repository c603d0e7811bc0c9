/** Certificates of the relay: self-made ones, files, and files that change. */

import { X509Certificate } from 'node:crypto'
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer, isIPv4 } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type PeerCertificate } from 'node:tls'
import { afterEach, describe, expect, test } from '@jest/globals'
import { Certificate } from '../../src/adapters/node-turn/certificate.ts'
import { selfMade } from '../../src/adapters/node-turn/self-made.ts'
import type { Listening } from '../../src/adapters/node-turn/server.ts'
import { TestClock } from '../support/clock.ts'
import { closing, relay } from './fixture.ts'

const DAY_MS = 86_400_000
const folders: string[] = []

afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true })
})

interface Files {
  readonly certFile: string
  readonly keyFile: string
  /** Puts a new pair there; the answer is the certificate's fingerprint. */
  replace(): Promise<string>
  write(pair: { cert?: string; key?: string }): Promise<void>
}

async function files(): Promise<Files> {
  const folder = await mkdtemp(join(tmpdir(), 'certificate-'))
  folders.push(folder)
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  // as those do it that keep certificates: no half-written file is ever seen
  const put = async (file: string, text: string) => {
    await writeFile(`${file}.new`, text)
    await rename(`${file}.new`, file)
  }
  const write = async ({ cert, key }: { cert?: string; key?: string }) => {
    if (cert !== undefined) await put(certFile, cert)
    if (key !== undefined) await put(keyFile, key)
  }
  const replace = async () => {
    const pair = selfMade(['127.0.0.1'], Date.now())
    await write(pair)
    return new X509Certificate(pair.cert).fingerprint256
  }
  return { certFile, keyFile, replace, write }
}

/** What the relay shows to whom connects now. */
async function shown({ address, port }: { address: string; port: number }): Promise<PeerCertificate> {
  const socket = closingSocket(connect({ host: address, port, rejectUnauthorized: false }))
  await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  return socket.getPeerCertificate()
}

function closingSocket(socket: ReturnType<typeof connect>): ReturnType<typeof connect> {
  closing({ close: () => void socket.destroy() })
  return socket
}

/** One look at the files, to its end: by then the next one is set, so that as many timers wait as before. */
async function look(clock: TestClock): Promise<void> {
  const { waiting } = clock
  await clock.advance(10_000)
  while (clock.waiting < waiting) await new Promise((resolve) => setImmediate(resolve))
}

describe('a self-made certificate', () => {
  test('is for the addresses, of both families, and is good for three months from yesterday on', () => {
    const now = Date.UTC(2026, 10, 21)
    const { cert, key } = selfMade(['192.0.2.1', '2001:db8::1'], now)
    const read = new X509Certificate(cert)
    expect(read.checkIP('192.0.2.1')).toBe('192.0.2.1')
    expect(read.checkIP('2001:db8::1')).toBe('2001:db8::1')
    expect(read.checkIP('192.0.2.2')).toBeUndefined()
    expect(read.verify(read.publicKey)).toBe(true)
    expect(key).toContain('PRIVATE KEY')
    expect(Date.parse(read.validFrom)).toBe(now - DAY_MS)
    expect(Date.parse(read.validTo)).toBe(now + 90 * DAY_MS)
  })

  test('is trusted by a client that is told to trust it', async () => {
    const { certFile, keyFile, write } = await files()
    const { cert, key } = selfMade(['127.0.0.1'], Date.now())
    await write({ cert, key })
    const { tlsAddress } = await relay({ tls: { port: 0, certificate: { certFile, keyFile } } })
    const { address: host, port } = tlsAddress
    const socket = closingSocket(connect({ host, port, ca: cert, checkServerIdentity: () => undefined }))
    await new Promise<void>((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
    expect(socket.authorized).toBe(true)
    expect(isIPv4(socket.remoteAddress ?? '')).toBe(true)
  })

  test('is made anew a month before its end', async () => {
    const clock = new TestClock(Date.now())
    const ends: Date[] = []
    const certificate = new Certificate('self-made', {
      clock,
      addresses: ['127.0.0.1'],
      loaded: (validTo) => ends.push(validTo),
      report: () => undefined,
    })
    await certificate.start()
    await clock.advance(59 * DAY_MS)
    expect(ends).toHaveLength(1)
    await clock.advance(DAY_MS)
    expect(ends).toHaveLength(2)
    certificate.close()
    expect(clock.waiting).toBe(0)
  })
})

describe('a certificate in files', () => {
  test('that is replaced is shown to the next connection, and connections go on', async () => {
    const { certFile, keyFile, replace } = await files()
    const first = await replace()
    const loaded: Date[] = []
    const { tlsAddress, client, clock } = await relay(
      { tls: { port: 0, certificate: { certFile, keyFile } } },
      { certificate: (validTo) => loaded.push(validTo) },
    )
    expect((await shown(tlsAddress)).fingerprint256).toBe(first)
    const alice = await client('alice', 'tls')
    await alice.relayed()
    const second = await replace()
    await look(clock)
    expect(loaded).toHaveLength(2)
    expect((await shown(tlsAddress)).fingerprint256).toBe(second)
    expect((await alice.refresh()).lifetime).toBe(600)
  })

  test.each([
    ['is none', { cert: 'nonsense' }],
    ['does not belong to the key', { cert: selfMade(['127.0.0.1'], Date.now()).cert }],
    ['has a key that is none', { key: '' }],
  ])('that %s is reported once, and the one before stays', async (_what, broken) => {
    const { certFile, keyFile, replace, write } = await files()
    const first = await replace()
    const reports: string[] = []
    let loads = 0
    const { tlsAddress, clock } = await relay(
      { tls: { port: 0, certificate: { certFile, keyFile } } },
      { report: (error) => reports.push(String(error)), certificate: () => void loads++ },
    )
    await write(broken)
    await look(clock)
    expect(reports).toEqual([])
    await look(clock)
    await look(clock)
    expect(reports).toHaveLength(1)
    expect(reports[0]).toContain('the one before stays')
    expect((await shown(tlsAddress)).fingerprint256).toBe(first)
    const second = await replace()
    await look(clock)
    expect(loads).toBe(2)
    expect((await shown(tlsAddress)).fingerprint256).toBe(second)
    expect(reports).toHaveLength(1)
  })

  test('of which only one half is new at one look is not reported, and is used when the other one has come', async () => {
    const { certFile, keyFile, replace, write } = await files()
    await replace()
    const clock = new TestClock(Date.now())
    const reports: unknown[] = []
    let loads = 0
    const certificate = new Certificate(
      { certFile, keyFile },
      { clock, addresses: [], loaded: () => void loads++, report: (error) => reports.push(error) },
    )
    await certificate.start()
    const { cert, key } = selfMade(['127.0.0.1'], Date.now())
    await write({ cert })
    await look(clock)
    await write({ key })
    await look(clock)
    expect(loads).toBe(2)
    expect(reports).toEqual([])
    certificate.close()
  })

  test('that is not there at the start leaves UDP and TCP as they are; TLS follows when it comes', async () => {
    const { certFile, keyFile, replace } = await files()
    const reports: string[] = []
    const heard: Listening[] = []
    let tell: () => void = () => undefined
    const told = new Promise<void>((resolve) => {
      tell = resolve
    })
    const { tlsAddress, address, client, clock } = await relay(
      { tls: { port: 0, certificate: { certFile, keyFile } } },
      {
        report: (error) => reports.push(String(error)),
        tls: (listening) => {
          heard.push(listening)
          tell()
        },
      },
    )
    expect(tlsAddress.port).toBe(0)
    expect(reports.join()).toContain('ENOENT')
    await (await client('alice', 'tcp')).relayed()
    const fingerprint = await replace()
    await look(clock)
    await told
    expect(heard[0]?.port).toBe(address.port)
    expect((await shown({ address: '127.0.0.1', port: heard[0]?.tlsPort ?? 0 })).fingerprint256).toBe(fingerprint)
  })

  test('is not asked for where the port for TLS is taken: UDP and TCP work, and TLS follows when the port is free', async () => {
    const blocker = createServer()
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
    const { port } = blocker.address() as AddressInfo
    const reports: string[] = []
    let tell: (listening: Listening) => void = () => undefined
    const told = new Promise<Listening>((resolve) => {
      tell = resolve
    })
    const { client, clock, tlsAddress } = await relay(
      { tls: { port, certificate: 'self-made' } },
      { report: (error) => reports.push(String(error)), tls: (listening) => tell(listening) },
    )
    expect(tlsAddress.port).toBe(0)
    expect(reports.join()).toMatch(new RegExp(`no TLS on port ${port}.*EADDRINUSE`))
    await (await client('alice', 'tcp')).relayed()
    await new Promise((resolve) => blocker.close(resolve))
    await clock.advance(10_000)
    expect((await told).tlsPort).toBe(port)
    expect((await shown({ address: '127.0.0.1', port })).fingerprint256).toBeDefined()
  })
})
