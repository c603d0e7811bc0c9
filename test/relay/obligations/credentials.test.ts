/** RFC 8489, section 9.2: the long-term mechanism, with names that carry their expiry. Each title names the section. */

import { createHash } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { passwordOf } from '../../../src/turn/credentials.ts'
import { ATTR, attribute, CLASS, encode, METHOD, type Reply, UDP, xorAddress } from '../turn-client.ts'
import { answer, outcome, PREVIOUS_SECRET, REALM, rfc, SECRET, target } from './target.ts'

const open = target()

/** A response that asks for credentials: RFC 8489, section 9.2.4. */
function expectChallenge(reply: Reply, code: number): void {
  expect([reply.class, reply.code]).toEqual([CLASS.error, code])
  expect(reply.get(ATTR.realm)?.toString()).toBe(REALM)
  expect(reply.get(ATTR.nonce)?.length).toBeGreaterThan(0)
  expect(reply.get(ATTR.nonce)?.length).toBeLessThan(128)
  expect(reply.get(ATTR.messageIntegrity)).toBeUndefined()
}

const METHODS = [
  ['Allocate', METHOD.allocate],
  ['Refresh', METHOD.refresh],
  ['CreatePermission', METHOD.createPermission],
  ['ChannelBind', METHOD.channelBind],
] as const

/** Big enough for an answer with everything in it. */
const PLENTY = attribute(ATTR.software, 'x'.repeat(100))

describe('RFC 8489, section 9.2.4: a request', () => {
  test.each(METHODS)('without credentials is 401 with realm and nonce, unsigned: %s', async (_name, method) => {
    const { client } = await open()
    const alice = await client()
    const draft = { method, attributes: [UDP, attribute(ATTR.lifetime, 600), PLENTY] }
    // and not 437: before it knows who asks it tells nobody that there is no allocation
    expectChallenge(await alice.ask(draft), 401)
  })

  test('Binding needs none', async () => {
    const { client } = await open()
    expect(await answer(await client(), { method: METHOD.binding })).toBe('success')
  })

  test.each([
    ['USERNAME', ATTR.username],
    ['REALM', ATTR.realm],
    ['NONCE', ATTR.nonce],
  ])('that is signed but has no %s is 400', async (_name, missing) => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    const draft = alice.signed({ method: METHOD.allocate, attributes: [UDP] })
    const attributes = draft.attributes?.filter(([type]) => type !== missing) ?? []
    expect(await answer(alice, { ...draft, attributes })).toBe(400)
  })

  test('signed with a password of the previous secret succeeds while the secret is being changed', async () => {
    const { credential, stranger } = await open()
    const { username } = credential('patient')
    const alice = await stranger({ username, credential: passwordOf(PREVIOUS_SECRET, username) })
    const reply = await alice.allocate()
    expect([reply.class, reply.signedWith(alice.key)]).toEqual([CLASS.success, true])
    expect((await alice.refresh()).class).toBe(CLASS.success)
  })

  test('of a user with the right key succeeds, and its response is signed with the same key', async () => {
    const { client } = await open()
    const alice = await client()
    const reply = await alice.allocate()
    expect(reply.class).toBe(CLASS.success)
    expect(reply.signedWith(alice.key)).toBe(true)
  })

  test('with a nonce that was never given is 438 with a fresh one, which does', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    const given = alice.nonce
    alice.nonce = 'a'.repeat(given.length)
    const reply = await alice.request({ method: METHOD.allocate, attributes: [UDP, PLENTY] })
    expectChallenge(reply, 438)
    alice.nonce = reply.get(ATTR.nonce)?.toString() ?? ''
    expect((await alice.allocate()).class).toBe(CLASS.success)
  })

  test('with somebody else’s nonce is 438', async () => {
    const { client } = await open()
    const [alice, mallory] = [await client(), await client()]
    await alice.greet()
    await mallory.greet()
    mallory.nonce = alice.nonce
    expect((await mallory.request({ method: METHOD.allocate, attributes: [UDP, PLENTY] })).code).toBe(438)
  })

  test.each([
    ['another password', (name: string) => ({ username: name, credential: 'guessed' })],
    ['another secret', (name: string) => ({ username: name, credential: passwordOf('another secret', name) })],
    ['no password', (name: string) => ({ username: name, credential: '' })],
  ])('signed with %s is 401', async (_what, make) => {
    const { credential, stranger } = await open()
    const mallory = await stranger(make(credential('mallory').username))
    await mallory.greet()
    expectChallenge(await mallory.request({ method: METHOD.allocate, attributes: [UDP, PLENTY] }), 401)
  })

  test.each([
    ['a name without an expiry', 'alice'],
    ['a name that everything has', 'constructor'],
    ['another one of the kind', '__proto__'],
    ['an expiry that is no number', 'soon:alice'],
    ['no name at all', ''],
  ])('with %s is 401 although the key is right', async (_what, username) => {
    const { stranger } = await open()
    const mallory = await stranger({ username, credential: passwordOf(SECRET, username) })
    await mallory.greet()
    const found = await answer(mallory, mallory.signed({ method: METHOD.allocate, attributes: [UDP, PLENTY] }))
    expect(found).toBe(401)
  })

  test('with credentials that have expired is 401', async () => {
    const { credential, stranger } = await open()
    const late = await stranger(credential('late', -10))
    await late.greet()
    expectChallenge(await late.request({ method: METHOD.allocate, attributes: [UDP, PLENTY] }), 401)
  })

  test('with credentials that would be good for a year is 401: nobody was given such', async () => {
    const { credential, stranger } = await open()
    const early = await stranger(credential('early', 365 * 86_400))
    await early.greet()
    const found = await answer(early, early.signed({ method: METHOD.allocate, attributes: [UDP, PLENTY] }))
    expect(found).toBe(rfc<unknown>(401, { coturn: 'success' }))
  })

  test('for another realm is 401', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    alice.realm = 'elsewhere'
    const found = await answer(alice, alice.signed({ method: METHOD.allocate, attributes: [UDP, PLENTY] }))
    expect(found).toBe(rfc(401, { coturn: 437 }))
  })

  test('that was changed on its way is 401', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.allocate()
    const message = encode(alice.signed({ method: METHOD.refresh, attributes: [attribute(ATTR.lifetime, 600)] }))
    message.writeUInt32BE(0, 24)
    expect(await answer(alice, message)).toBe(401)
    expect((await alice.refresh()).class).toBe(CLASS.success)
  })

  test('whose key is made with MD5 over name, realm and password is the only one of its kind', async () => {
    const { credential, stranger } = await open()
    const alice = await stranger(credential('md5'))
    await alice.greet()
    const draft = alice.signed({ method: METHOD.allocate, attributes: [UDP, PLENTY] })
    const key = createHash('sha256').update('md5').digest()
    expect(await answer(alice, { ...draft, key })).toBe(401)
  })
})

describe('RFC 8489, section 9.2.5: error responses', () => {
  test.each([
    ['437', METHOD.refresh, 437, 437],
    ['442', METHOD.allocate, 442, 400],
  ])('to somebody with credentials are signed: %s', async (_name, method, code, coturns) => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    const attributes = [attribute(ATTR.requestedTransport, 6 * 0x1000000)]
    const reply = await alice.request({ method, attributes: method === METHOD.allocate ? attributes : [] })
    expect(reply.code).toBe(rfc(code, { coturn: coturns }))
    expect(reply.signedWith(alice.key)).toBe(true)
  })
})

describe('RFC 8489, section 14.5: MESSAGE-INTEGRITY', () => {
  test('covers all before it; what comes after it is ignored, whatever it is', async () => {
    const { client, peer } = await open()
    const [alice, bob, carol] = [await client(), await peer(), await peer('127.0.0.2')]
    const relayed = await alice.relayed()
    const transaction = Buffer.alloc(12, 5)
    const draft = alice.signed({
      method: METHOD.createPermission,
      transaction,
      attributes: [xorAddress(ATTR.xorPeerAddress, bob.local, transaction)],
    })
    const after = [xorAddress(ATTR.xorPeerAddress, carol.local, transaction)]
    expect((await alice.ask({ ...draft, after })).class).toBe(CLASS.success)
    carol.say(relayed, 'let me in')
    bob.say(relayed, 'it is me')
    expect((await alice.hears()).data.toString()).toBe(rfc('it is me', { coturn: 'let me in' }))
  })

  test('of a wrong length is none', async () => {
    const { client } = await open()
    const alice = await client()
    await alice.greet()
    const { attributes = [] } = alice.signed({ method: METHOD.allocate, attributes: [UDP, PLENTY] })
    const found = await outcome(alice, {
      method: METHOD.allocate,
      attributes: [...attributes, attribute(ATTR.messageIntegrity, Buffer.alloc(8))],
    })
    expect(found).not.toBe('success')
  })
})

describe('amplification (RFC 8489, section 13; RFC 8656, section 21.3)', () => {
  test('an answer to somebody unknown is never larger than twice the request', async () => {
    const { client } = await open()
    const alice = await client()
    const sizes: number[] = []
    for (const [, method] of [...METHODS, ['Binding', METHOD.binding] as const]) {
      for (const attributes of [[], [UDP], [attribute(0x7abc, '')], [attribute(0x7abc, ''), PLENTY]]) {
        const draft = { method, attributes }
        sizes.push((await alice.ask(draft)).raw.length / encode(draft).length)
      }
    }
    expect(Math.max(...sizes) <= 2).toBe(rfc(true, { coturn: false }))
  })
})

describe('RFC 8656, section 5: who an allocation belongs to', () => {
  test('requests of another user on the same 5-tuple are 441', async () => {
    const { client } = await open()
    const [alice, mallory] = [await client(), await client('mallory')]
    await alice.allocate()
    // what is signed by one comes from the address of the other
    mallory.realm = alice.realm
    mallory.nonce = alice.nonce
    const transaction = Buffer.alloc(12, 9)
    const attributes = [xorAddress(ATTR.xorPeerAddress, { address: '127.0.0.1', port: 1 }, transaction)]
    expect((await alice.ask(mallory.signed({ method: METHOD.refresh }))).code).toBe(441)
    const permit = mallory.signed({ method: METHOD.createPermission, transaction, attributes })
    expect((await alice.ask(permit)).code).toBe(441)
    expect((await alice.refresh()).class).toBe(CLASS.success)
  })

  test('the same user on another 5-tuple has none: 437', async () => {
    const { client } = await open()
    const alice = await client('twice')
    await alice.allocate()
    const other = await client('twice')
    await other.greet()
    expect((await other.refresh()).code).toBe(437)
  })
})
