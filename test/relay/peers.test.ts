import { describe, expect, test } from '@jest/globals'
import { canonical, groups } from '../../src/adapters/node-turn/endpoint.ts'
import { DENIED_BY_DEFAULT, PeerPolicy, parseCidr } from '../../src/adapters/node-turn/peers.ts'
import { onIPv6, relay } from './fixture.ts'
import { ATTR, attribute, CLASS } from './turn-client.ts'

const DENIED_4 = [
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '10.255.255.255',
  '100.64.0.1',
  '100.127.255.255',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.8',
  '192.0.2.1',
  '192.88.99.1',
  '192.168.1.1',
  '198.18.0.1',
  '198.19.255.255',
  '198.51.100.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.250',
  '240.0.0.1',
  '255.255.255.255',
]
const OPEN_4 = ['1.1.1.1', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '172.15.0.1', '172.32.0.1']
const DENIED_6 = [
  '::',
  '::1',
  '::7f00:1',
  '::ffff:8.8.8.8',
  '::ffff:127.0.0.1',
  '64:ff9b::a00:1',
  '64:ff9b:1::1',
  '100::1',
  '2001::1',
  '2001:1ff:ffff::1',
  '2001:db8::1',
  '2002:7f00:1::1',
  '3fff::1',
  '5f00::1',
  'fc00::1',
  'fdff::1',
  'fe80::1',
  'febf::1',
  'fec0::1',
  'ff02::1',
]
const OPEN_6 = ['2606:4700::1111', '2a00:1450:4001::1', '2001:4860:4860::8888', '64:ff9a::1']

const policy = (allow: string[] = [], deny: string[] = []) =>
  new PeerPolicy({ allow, deny, relayed: ['203.0.113.99'], own: ['8.8.4.4'] })

describe('whom the relay sends to', () => {
  test.each(DENIED_4)('%s is denied by default, with 403 to CreatePermission and ChannelBind (#7)', async (address) => {
    const { client } = await relay({ allowPeers: [], publicIps: ['203.0.113.99'] })
    const alice = await client()
    await alice.allocate()
    expect(policy().verdict(address)).toBe('denied')
    expect((await alice.permit({ address, port: 80 })).code).toBe(403)
    expect((await alice.bind(0x4000, { address, port: 80 })).code).toBe(403)
  })

  onIPv6('every IPv6 range is denied with 403 (#7)', async () => {
    const { client } = await relay({ listenIps: ['::1'], publicIps: ['2606:4700::1'], allowPeers: [] })
    const alice = await client()
    await alice.allocate(attribute(ATTR.requestedAddressFamily, 2 * 0x1000000))
    for (const address of DENIED_6.map((each) => groups(each).join(':'))) {
      expect([address, (await alice.permit({ address, port: 80 })).code]).toEqual([address, 403])
      expect([address, (await alice.bind(0x4000, { address, port: 80 })).code]).toEqual([address, 403])
    }
    expect((await alice.permit({ address: '2a00:1450:4001::1', port: 80 })).class).toBe(CLASS.success)
  })

  test.each(OPEN_4)('%s is open', async (address) => {
    const { client } = await relay({ allowPeers: [] })
    const alice = await client()
    await alice.allocate()
    expect(policy().verdict(address)).toBe('allowed')
    expect((await alice.permit({ address, port: 80 })).class).toBe(CLASS.success)
  })

  test.each(DENIED_6)('%s is denied by default', (address) => {
    expect(policy().verdict(canonical(address) ?? '')).toBe('denied')
  })

  test.each(OPEN_6)('%s is open', (address) => {
    expect(policy().verdict(address)).toBe('allowed')
  })

  test('the operator opens what is denied, and nothing beside it', () => {
    const opened = policy(['10.1.0.0/16', '192.168.7.7', 'fd00:1::/32'])
    expect(['10.1.255.1', '192.168.7.7', 'fd00:1::9'].map((address) => opened.verdict(address))).toEqual(
      Array(3).fill('allowed'),
    )
    expect(['10.2.0.1', '192.168.7.8', 'fd00:2::9', '::ffff:a01:1'].map((address) => opened.verdict(address))).toEqual(
      Array(4).fill('denied'),
    )
  })

  test('what the operator denies stays denied, even what is opened; the defaults yield to both', () => {
    const both = policy(['10.0.0.0/8', '8.8.0.0/16'], ['10.9.0.0/16', '8.8.8.8', '2a00:1450::/32'])
    expect(['10.8.0.1', '8.8.4.5', '1.1.1.1'].map((address) => both.verdict(address))).toEqual(Array(3).fill('allowed'))
    expect(['10.9.0.1', '8.8.8.8', '2a00:1450:4001::1', '192.168.0.1'].map((address) => both.verdict(address))).toEqual(
      Array(4).fill('denied'),
    )
    // what two parties relayed here say to each other leaves for nowhere
    expect(policy([], ['203.0.113.0/24']).verdict('203.0.113.99')).toBe('own')
    expect(policy(['203.0.113.99'], ['203.0.113.99']).verdict('203.0.113.99')).toBe('own')
  })

  test('an IPv6 address that leads to an IPv4 address is no better than that one', () => {
    const open = policy(['64:ff9b::/96', '::ffff:0:0/96', '2002::/16'], ['9.9.9.9'])
    expect(['64:ff9b::808:808', '::ffff:8.8.8.8', '2002:808:808::1'].map((each) => open.verdict(each))).toEqual(
      Array(3).fill('allowed'),
    )
    for (const each of ['127.0.0.1', '10.0.0.1', '169.254.169.254', '9.9.9.9', '8.8.4.4', '203.0.113.99']) {
      const hex = each.split('.').map((octet) => Number(octet).toString(16).padStart(2, '0'))
      const groups4 = `${hex[0]}${hex[1]}:${hex[2]}${hex[3]}`
      for (const address of [`64:ff9b::${groups4}`, `::ffff:${groups4}`, `2002:${groups4}::1`]) {
        expect([address, open.verdict(canonical(address) ?? '')]).toEqual([address, 'denied'])
      }
    }
  })

  test('a denied block is refused with 403 although its surroundings are open', async () => {
    const { client } = await relay({ denyPeers: ['127.0.0.66'] })
    const alice = await client()
    await alice.allocate()
    expect((await alice.permit({ address: '127.0.0.66', port: 1 })).code).toBe(403)
    expect((await alice.bind(0x4000, { address: '127.0.0.66', port: 1 })).code).toBe(403)
    expect((await alice.permit({ address: '127.0.0.67', port: 1 })).class).toBe(CLASS.success)
  })

  test('the relay’s own public address is open for what is relayed here, every other address of the machine is not', () => {
    expect(policy().verdict('203.0.113.99')).toBe('own')
    expect(policy().verdict('8.8.4.4')).toBe('denied')
    expect(policy(['203.0.113.99']).verdict('203.0.113.99')).toBe('allowed')
  })
})

describe('CIDR blocks', () => {
  test('every default reads', () => {
    expect(DENIED_BY_DEFAULT.filter((block) => !parseCidr(block))).toEqual([])
  })

  test.each([
    '',
    '10.0.0.0/33',
    '10.0.0/8',
    '::/129',
    '10.0.0.0/8/8',
    'localhost',
    '10.0.0.0/',
    '1.2.3.4/-1',
    '::1%lo',
  ])('%j is none', (block) => {
    expect(parseCidr(block)).toBeUndefined()
  })

  test('an address is a block of its own', () => {
    expect(parseCidr('10.1.2.3')).toEqual({ family: 4, address: '10.1.2.3', prefix: 32 })
    expect(parseCidr('::1')).toEqual({ family: 6, address: '::1', prefix: 128 })
  })
})

describe('IPv6 addresses (#16)', () => {
  test.each([
    ['::', '0:0:0:0:0:0:0:0'],
    ['::1', '0:0:0:0:0:0:0:1'],
    ['2001:db8::1', '2001:db8:0:0:0:0:0:1'],
    ['2001:db8:1:2:3::', '2001:db8:1:2:3:0:0:0'],
    ['1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8'],
    ['::ffff:1.2.3.4', '0:0:0:0:0:ffff:102:304'],
  ])('%s is written out as %s', (short, long) => {
    expect(groups(short).join(':')).toBe(long)
    expect(canonical(long)).toBe(short)
  })

  test('lose their zone when they are written out', () => {
    expect(groups('fe80::1%eth0').join(':')).toBe('fe80:0:0:0:0:0:0:1')
    expect(canonical('fe80::1%eth0')).toBe('fe80::1')
  })
})
