/** RFC 8489 without credentials: what a message is, and what is done with one. Each title names the section. */

import { describe, expect, test } from '@jest/globals'
import { ATTR, attribute, CLASS, encode, METHOD, Reply } from '../turn-client.ts'
import { type Outcome, outcome, rfc, target } from './target.ts'

const open = target()

const binding = (attributes = [attribute(ATTR.software, 'some client')]) =>
  encode({ method: METHOD.binding, attributes })

function changed(message: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(message)
  change(copy)
  return copy
}

describe('RFC 8489, section 5: the structure of a message', () => {
  test.each([
    ['14.2: a Binding response repeats the transaction and tells the address it was sent from', false],
    ['7: with a FINGERPRINT in the request there is a right one in the response', true],
  ])('%s', async (_title, fingerprint) => {
    const { client } = await open()
    const alice = await client()
    const transaction = Buffer.from('a transaction').subarray(0, 12)
    const reply = await alice.ask({ method: METHOD.binding, transaction, fingerprint })
    expect([reply.method, reply.class]).toEqual([METHOD.binding, CLASS.success])
    expect(reply.transaction).toBe(transaction.toString('hex'))
    expect(reply.address(ATTR.xorMappedAddress)).toEqual(alice.local)
    if (fingerprint) expect(reply.fingerprintIsRight).toBe(true)
  })

  test.each([
    ['whose first two bits are not zero', changed(binding(), (m) => m.writeUInt8(0xc0, 0))],
    ['shorter than a header', binding().subarray(0, 19)],
    ['that ends before its length says so', binding().subarray(0, -4)],
    ['whose length is no multiple of four', changed(binding(), (m) => m.writeUInt16BE(m.length - 19, 2))],
    ['of no octets', Buffer.alloc(0)],
    ['of one octet', Buffer.from([0])],
  ])('6.3: a message %s is silently discarded', async (_what, message) => {
    const { client } = await open()
    expect(await outcome(await client(), message)).toBe('silence')
  })

  test('6.3: a message that goes on behind its length is silently discarded', async () => {
    const { client } = await open()
    expect(await outcome(await client(), Buffer.concat([binding(), Buffer.alloc(4)]))).toBe('silence')
  })

  test('6.3: a message with an attribute that is longer than the message is silently discarded', async () => {
    const { client } = await open()
    const message = changed(binding(), (m) => m.writeUInt16BE(200, 22))
    expect(await outcome(await client(), message)).toBe(rfc<Outcome>('silence', { coturn: 'success' }))
  })

  test('14: what is in the padding of an attribute is ignored', async () => {
    const { client } = await open()
    const message = binding([attribute(ATTR.software, 'abc')])
    message[27] = 0xff
    expect(await outcome(await client(), message)).toBe('success')
  })

  test('14: an attribute of no octets is one', async () => {
    const { client } = await open()
    expect(await outcome(await client(), binding([attribute(ATTR.software, '')]))).toBe('success')
  })
})

describe('RFC 8489, section 6.3: what is done with a message', () => {
  test('a FINGERPRINT that is wrong makes it none: no answer', async () => {
    const { client } = await open()
    const message = encode({ method: METHOD.binding, fingerprint: true })
    const spoilt = changed(message, (m) => m.writeUInt8((m.at(-1) ?? 0) ^ 1, m.length - 1))
    expect(await outcome(await client(), spoilt)).toBe('silence')
  })

  test('6.3.1: attributes that must be understood and are not are told by 420 and their list', async () => {
    const { client } = await open()
    const alice = await client()
    const draft = { method: METHOD.binding, attributes: [attribute(0x7abc, 'x'), attribute(0x7abd, '')] }
    const reply = await alice.ask(draft)
    expect([reply.class, reply.code]).toEqual([CLASS.error, 420])
    expect(reply.get(ATTR.unknownAttributes)?.toString('hex')).toBe('7abc7abd')
  })

  test('6.3.1: attributes that may be ignored are', async () => {
    const { client } = await open()
    expect(await outcome(await client(), binding([attribute(0x8abc, 'x'), attribute(0xc057, 1)]))).toBe('success')
  })

  test('6.3.2: an indication is not answered', async () => {
    const { client } = await open()
    const alice = await client()
    expect(await outcome(alice, { method: METHOD.binding, class: CLASS.indication })).toBe('silence')
    expect(await outcome(alice, { method: METHOD.allocate, class: CLASS.indication })).toBe('silence')
  })

  test.each([CLASS.success, CLASS.error])(
    '6.3.3, 6.3.4: a response to nothing is not answered (class %d)',
    async (kind) => {
      const { client } = await open()
      const alice = await client()
      for (const method of [METHOD.binding, METHOD.allocate, METHOD.refresh, METHOD.channelBind]) {
        expect(await outcome(alice, { method, class: kind })).toBe('silence')
      }
    },
  )

  test('a method that nobody knows is not answered', async () => {
    const { client } = await open()
    expect(await outcome(await client(), { method: 0x5ab })).toBe(rfc<Outcome>('silence', { coturn: 401 }))
  })

  test('6.3.1.1: an error response has an ERROR-CODE whose reserved bits are zero, and a phrase in UTF-8', async () => {
    const { client } = await open()
    const alice = await client()
    const value = (await alice.greet()).get(ATTR.errorCode) ?? Buffer.alloc(0)
    expect([value.readUInt16BE(0), (value[2] ?? 0) & 0xf8]).toEqual([0, 0])
    expect(new TextDecoder('utf-8', { fatal: true }).decode(value.subarray(4)).length).toBeLessThan(128)
  })

  test('6.2.1: a request that is sent again is answered again, in the same way', async () => {
    const { client } = await open()
    const alice = await client()
    const message = binding()
    alice.sendRaw(message)
    const first = (await alice.next()).bytes
    alice.sendRaw(message)
    expect(new Reply((await alice.next()).bytes).raw).toEqual(first)
  })
})

describe('RFC 8656, section 5: what only TURN has', () => {
  test('Send and Data are no requests', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.allocate()
    for (const method of [METHOD.send, METHOD.data]) {
      expect(await outcome(alice, alice.signed({ method }))).toBe(rfc<Outcome>('silence', { coturn: 400 }))
    }
  })

  test('a Data indication from a client is silently discarded', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.allocate()
    expect(await outcome(alice, { method: METHOD.data, class: CLASS.indication })).toBe('silence')
  })
})
