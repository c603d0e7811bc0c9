/**
 * A certificate for the relay's own addresses, signed by itself: for trying out TLS on one machine. No client trusts it
 * unless it is told to. X.509 in DER (RFC 5280), as much of it as such a certificate needs.
 */

import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { endpoint, octets } from './endpoint.ts'

const DAY_MS = 86_400_000
/** The clocks of clients differ from ours. */
const BEFORE_MS = DAY_MS
const VALID_MS = 90 * DAY_MS

const ECDSA_WITH_SHA256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]
const COMMON_NAME = [0x55, 0x04, 0x03]
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11]

/** PEM of a certificate for these addresses, valid from yesterday on for three months, and of its key. */
export function selfMade(addresses: readonly string[], nowMs: number): { cert: string; key: string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const algorithm = sequence(objectId(ECDSA_WITH_SHA256))
  const name = sequence(set(sequence(objectId(COMMON_NAME), tagged(0x0c, Buffer.from('Carillon relay')))))
  const serial = randomBytes(16)
  // a positive number, and its shortest form
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40
  const body = sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))),
    tagged(0x02, serial),
    algorithm,
    name,
    sequence(time(nowMs - BEFORE_MS), time(nowMs + VALID_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(sequence(objectId(SUBJECT_ALT_NAME), tagged(0x04, sequence(...addresses.map(ipName)))))),
  )
  const signature = tagged(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', body, privateKey)]))
  const der = sequence(body, algorithm, signature)
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return {
    cert: ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n'),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
}

/** Tag, length, value (X.690, section 8.1). */
function tagged(tag: number, ...values: readonly Buffer[]): Buffer {
  const value = Buffer.concat(values)
  const { length } = value
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...head]), value])
}

const sequence = (...values: readonly Buffer[]) => tagged(0x30, ...values)
const set = (...values: readonly Buffer[]) => tagged(0x31, ...values)
const objectId = (encoded: readonly number[]) => tagged(0x06, Buffer.from(encoded))
const ipName = (address: string) => tagged(0x87, octets(endpoint(address, 0)))

/** UTCTime, which serves until 2049 (RFC 5280, section 4.1.2.5.1). */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')
  return tagged(0x17, Buffer.from(digits.slice(2)))
}
