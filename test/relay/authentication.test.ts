import { createHash, randomBytes } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { mint, passwordOf } from '../../src/turn/credentials.ts'
import { closing, type Fixture, relay, SECRET } from './fixture.ts'
import {
  ATTR,
  attribute,
  CLASS,
  type Credential,
  encode,
  METHOD,
  Reply,
  TurnClient,
  UDP,
  xorAddress,
} from './turn-client.ts'

const allocateAs = async (fixture: Fixture, credential: Credential) => {
  const client = closing(await TurnClient.open(fixture.address, credential))
  return client.allocate()
}

describe('who may allocate', () => {
  test('whoever has a name that has not expired, and its password', async () => {
    const fixture = await relay()
    for (const user of ['alice', 'Jürgen "the" 日本', 'constructor', '__proto__', 'x'.repeat(500)]) {
      expect((await allocateAs(fixture, fixture.credential(user))).class).toBe(CLASS.success)
    }
  })

  test('any of the secrets will do', async () => {
    const fixture = await relay({ secrets: ['the next one', SECRET] })
    const soon = fixture.clock.now() / 1000 + 60
    expect((await allocateAs(fixture, mint('the next one', 'alice', soon))).class).toBe(CLASS.success)
    expect((await allocateAs(fixture, mint(SECRET, 'alice', soon))).class).toBe(CLASS.success)
    expect((await allocateAs(fixture, mint('neither', 'alice', soon))).code).toBe(401)
  })

  test.each<[string, (now: number) => Credential]>([
    ['forged with another secret', (now) => mint('another', 'alice', now + 60)],
    ['expired just now', (now) => mint(SECRET, 'alice', now)],
    ['expired long ago', (now) => mint(SECRET, 'alice', now - 86_400)],
    ['good for longer than anybody gets them', (now) => mint(SECRET, 'alice', now + 3600 + 301)],
    [
      'whose expiry was changed',
      (now) => ({ username: `${now + 99}:alice`, credential: mint(SECRET, 'alice', now - 1).credential }),
    ],
    ['without an expiry', () => ({ username: 'alice', credential: passwordOf(SECRET, 'alice') })],
    ['without a user', (now) => ({ username: `${now + 60}:`, credential: passwordOf(SECRET, `${now + 60}:`) })],
    ['with nothing in them', () => ({ username: '', credential: '' })],
    ...['constructor', '__proto__', 'toString', 'hasOwnProperty'].map((name): [string, () => Credential] => [
      `of ${name}, as node-turn would have it (#2)`,
      () => ({ username: name, credential: `${({} as Record<string, unknown>)[name]}` }),
    ]),
    ['of constructor with an empty password (#2)', () => ({ username: 'constructor', credential: '' })],
  ])('credentials %s are 401, with a new challenge and no signature', async (_what, make) => {
    const fixture = await relay()
    const client = closing(await TurnClient.open(fixture.address, make(fixture.clock.now() / 1000)))
    const reply = await client.allocate()
    expect(reply.code).toBe(401)
    expect(reply.get(ATTR.realm)?.toString()).toBe('carillon')
    expect(reply.get(ATTR.nonce)).toBeDefined()
    expect(reply.get(ATTR.messageIntegrity)).toBeUndefined()
    expect(fixture.server.stats().allocations).toBe(0)
  })

  test('clocks that disagree by less than five minutes do no harm', async () => {
    const fixture = await relay()
    expect((await allocateAs(fixture, fixture.credential('alice', 3600 + 299))).class).toBe(CLASS.success)
  })

  test('another realm is 401', async () => {
    const { client } = await relay({ realm: 'example.org' })
    const alice = await client()
    await alice.greet()
    expect(alice.realm).toBe('example.org')
    alice.realm = 'carillon'
    expect((await alice.allocate()).code).toBe(401)
  })

  test('another realm is 401 even when the key is right', async () => {
    const { client } = await relay()
    const alice = await client()
    await alice.greet()
    const { key } = alice
    const draft = alice.signed({ method: METHOD.allocate, attributes: [UDP] })
    const attributes = draft.attributes?.map((each) => (each[0] === ATTR.realm ? attribute(ATTR.realm, 'other') : each))
    expect((await alice.ask({ ...draft, attributes: attributes ?? [], key })).code).toBe(401)
  })

  test('the password of nobody is the text of a function (#2)', async () => {
    const { address } = await relay()
    const username = 'constructor'
    const client = closing(await TurnClient.open(address))
    await client.greet()
    const password = 'function Object() { [native code] }'
    const key = createHash('md5').update(`${username}:${client.realm}:${password}`).digest()
    const attributes = [
      UDP,
      attribute(ATTR.username, username),
      attribute(ATTR.realm, client.realm),
      attribute(ATTR.nonce, client.nonce),
    ]
    expect((await client.ask({ method: METHOD.allocate, attributes, key })).code).toBe(401)
  })

  test.each(['username', 'realm', 'nonce'] as const)('a signed request without %s is 400', async (name) => {
    const { client } = await relay()
    const alice = await client()
    await alice.greet()
    const draft = alice.signed({ method: METHOD.allocate, attributes: [UDP] })
    const attributes = draft.attributes?.filter(([type]) => type !== ATTR[name]) ?? []
    expect((await alice.ask({ ...draft, attributes })).code).toBe(400)
  })
})

describe('an allocation whose credentials have expired', () => {
  test('goes on, but no new one is made', async () => {
    const { clock, address, credential, peer } = await relay()
    const alice = closing(await TurnClient.open(address, credential('alice', 60)))
    const bob = await peer()
    await alice.allocate()
    await clock.advance(120_000)
    expect((await alice.refresh()).class).toBe(CLASS.success)
    expect((await alice.permit(bob.local)).class).toBe(CLASS.success)
    expect((await alice.bind(0x4000, bob.local)).class).toBe(CLASS.success)
    expect((await alice.refresh(0)).class).toBe(CLASS.success)
    expect((await alice.allocate()).code).toBe(401)
    expect((await alice.refresh()).code).toBe(401)
  })

  test('does not go on for ever', async () => {
    const { clock, address, credential } = await relay({ graceSeconds: 1000, maxAllocationSeconds: 3600 })
    const alice = closing(await TurnClient.open(address, credential('alice', 60)))
    await alice.allocate(attribute(ATTR.lifetime, 3600))
    await clock.advance(1_059_000)
    expect((await alice.refresh(3600)).class).toBe(CLASS.success)
    await clock.advance(1000)
    expect((await alice.refresh()).code).toBe(401)
  })
})

describe('nonces', () => {
  test('of an hour ago are stale: 438 with a fresh one, which then is good (#8)', async () => {
    const { client, clock } = await relay()
    const alice = await client()
    await alice.allocate(attribute(ATTR.lifetime, 3600))
    await clock.advance(3_540_000)
    expect((await alice.refresh(3600)).class).toBe(CLASS.success)
    await clock.advance(120_000)
    const reply = await alice.refresh(3600)
    expect(reply.code).toBe(438)
    expect(reply.get(ATTR.messageIntegrity)).toBeUndefined()
    alice.realm = reply.get(ATTR.realm)?.toString() ?? ''
    alice.nonce = reply.get(ATTR.nonce)?.toString() ?? ''
    expect((await alice.refresh(3600)).class).toBe(CLASS.success)
  })

  test.each(['constructor', '__proto__', '', 'A'.repeat(12), 'A'.repeat(700), 'ÄÖÜ'])(
    '%j is stale whoever sends it (#14)',
    async (nonce) => {
      const { client } = await relay()
      const alice = await client()
      await alice.greet()
      alice.nonce = nonce
      expect((await alice.request({ method: METHOD.allocate, attributes: [UDP] })).code).toBe(438)
    },
  )

  test('are good for the client that was given them, and stale from another (#14)', async () => {
    const { client } = await relay()
    const [alice, mallory] = [await client(), await client()]
    await alice.greet()
    mallory.realm = alice.realm
    mallory.nonce = alice.nonce
    expect((await mallory.allocate()).code).toBe(438)
    expect((await alice.allocate()).class).toBe(CLASS.success)
  })

  test('that are stale do not hide a wrong password', async () => {
    const { address, clock } = await relay()
    const client = closing(await TurnClient.open(address, mint('forged', 'alice', clock.now() / 1000 + 60)))
    await client.greet()
    client.nonce = 'AAAAAAAAAAAA'
    expect((await client.allocate()).code).toBe(401)
  })
})

describe('integrity', () => {
  test('what comes after MESSAGE-INTEGRITY is not looked at (#15)', async () => {
    const { client, peer } = await relay()
    const alice = await client()
    const [bob, carol] = [await peer(), await peer('127.0.0.2')]
    const relayed = await alice.relayed()
    const transaction = randomBytes(12)
    const draft = alice.signed({
      method: METHOD.createPermission,
      transaction,
      attributes: [xorAddress(ATTR.xorPeerAddress, bob.local, transaction)],
    })
    const after = [xorAddress(ATTR.xorPeerAddress, carol.local, transaction), attribute(0x7abc, 'unknown')]
    expect((await alice.ask({ ...draft, after, fingerprint: true })).class).toBe(CLASS.success)
    carol.say(relayed, 'let me in')
    bob.say(relayed, 'it is me')
    expect((await alice.hears()).data.toString()).toBe('it is me')
  })

  test('a request that was changed on its way is 401', async () => {
    const { client } = await relay()
    const alice = await client()
    await alice.allocate()
    const message = encode(alice.signed({ method: METHOD.refresh, attributes: [attribute(ATTR.lifetime, 600)] }))
    message.writeUInt32BE(0, 24)
    alice.sendRaw(message)
    expect(new Reply((await alice.next()).bytes).code).toBe(401)
    expect((await alice.refresh()).class).toBe(CLASS.success)
  })
})

describe('answers to somebody without credentials', () => {
  test('are 20 a second to one address at most, and none of them costs memory (#8)', async () => {
    const { client, clock, server } = await relay({ challengesPerSecond: 20 })
    const alice = await client()
    for (let each = 0; each < 100; each++) alice.sendRaw(encode({ method: METHOD.allocate, attributes: [UDP] }))
    const codes: (number | undefined)[] = []
    for (let each = 0; each < 20; each++) codes.push(new Reply((await alice.next()).bytes).code)
    await alice.nothingCame()
    expect(new Set(codes)).toEqual(new Set([401]))
    expect(server.stats().refused).toEqual({ 401: 20 })
    await clock.advance(1000)
    expect((await alice.greet()).code).toBe(401)
  })

  test('do not keep somebody with credentials from being served', async () => {
    const { client } = await relay({ challengesPerSecond: 1 })
    const alice = await client()
    await alice.greet()
    const mallory = await client('mallory')
    for (let each = 0; each < 50; each++) mallory.sendRaw(encode({ method: METHOD.allocate, attributes: [UDP] }))
    await mallory.nothingCame()
    expect((await alice.allocate()).class).toBe(CLASS.success)
  })

  test('are never more than twice as large as the request', async () => {
    const { client } = await relay()
    const alice = await client()
    for (const method of [
      METHOD.binding,
      METHOD.allocate,
      METHOD.refresh,
      METHOD.createPermission,
      METHOD.channelBind,
    ]) {
      for (const attributes of [[], [UDP], [UDP, attribute(ATTR.lifetime, 600)], [attribute(0x7abc, '')]]) {
        for (const fingerprint of [false, true]) {
          const draft = { method, attributes, fingerprint }
          const { raw } = await alice.ask(draft)
          expect(raw.length).toBeLessThanOrEqual(2 * encode(draft).length)
        }
      }
    }
  })

  test('challenge even the smallest Allocate there is', async () => {
    const { client } = await relay()
    const reply = await (await client()).greet()
    expect(reply.code).toBe(401)
    expect(reply.raw.length).toBe(56)
  })
})
