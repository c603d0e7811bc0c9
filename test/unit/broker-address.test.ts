/** Whose address a request has, and which addresses are one. */

import { describe, expect, test } from '@jest/globals'
import { networkOf, peerAddress } from '../../broker/address.ts'

describe('the address of a peer', () => {
  const TRUSTED = ['10.0.0.0/8', '192.0.2.7', 'fd00::/8']

  const cases: readonly (readonly [string, string[], string | undefined, string | undefined, string])[] = [
    ['its socket’s, without a proxy', [], '192.0.2.1', undefined, '192.0.2.1'],
    ['its socket’s, whatever it says of itself', [], '192.0.2.1', '198.51.100.1', '192.0.2.1'],
    ['its socket’s, when that is no proxy we trust', TRUSTED, '192.0.2.1', '198.51.100.1', '192.0.2.1'],
    ['the one that the proxy names', TRUSTED, '10.1.2.3', '198.51.100.1', '198.51.100.1'],
    [
      'the rightmost that is no proxy’s',
      TRUSTED,
      '10.1.2.3',
      '1.1.1.1, 198.51.100.1, 192.0.2.7,10.9.9.9',
      '198.51.100.1',
    ],
    ['the leftmost, when all are proxies', TRUSTED, '10.1.2.3', '10.0.0.1, 10.0.0.2', '10.0.0.1'],
    ['the proxy’s, when it names nobody', TRUSTED, '10.1.2.3', undefined, '10.1.2.3'],
    ['the proxy’s, when what it names is no address', TRUSTED, '10.1.2.3', '198.51.100.1, unknown', '10.1.2.3'],
    ['the proxy’s, when it sends an empty header', TRUSTED, '10.1.2.3', '', '10.1.2.3'],
    [
      'plain IPv4, on a socket that listens for both',
      TRUSTED,
      '::ffff:10.1.2.3',
      '::ffff:198.51.100.1',
      '198.51.100.1',
    ],
    ['without the port that some proxies add', TRUSTED, '10.1.2.3', '198.51.100.1:4711', '198.51.100.1'],
    ['without the brackets and the port of IPv6', TRUSTED, 'fd00::1', '[2001:db8::1]:4711', '2001:db8::1'],
    ['empty, when the socket has none any more', TRUSTED, undefined, '198.51.100.1', ''],
  ]
  test.each(cases)('is %s', (_, trusted, remote, forwarded, address) => {
    expect(peerAddress(trusted)(remote, forwarded)).toBe(address)
  })

  test('is the same whether the header comes once or several times', () => {
    expect(peerAddress(TRUSTED)('10.1.2.3', ['198.51.100.1', '10.0.0.1'])).toBe('198.51.100.1')
  })
})

test('the network that one host of IPv6 has counts as one, and an IPv4 address however it is written', () => {
  expect(networkOf('2001:db8:0:1::5')).toBe(networkOf('2001:0DB8:0000:0001:ffff:1:2:3'))
  expect(networkOf('2001:db8::5')).not.toBe(networkOf('2001:db8:0:1::5'))
  expect(networkOf('fe80::1%eth0')).toBe('fe80:0:0:0::/64')
  expect(networkOf('::1')).toBe('0:0:0:0::/64')
  expect(networkOf('::ffff:192.0.2.1')).toBe('192.0.2.1')
  expect(networkOf('192.0.2.1')).toBe('192.0.2.1')
})
