/** One call from the request to the hang-up, told over every transport that clients use. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Device, opens, TRANSPORTS, type World } from '../support/story.ts'

let world: World

beforeAll(async () => {
  world = await opens()
})

afterAll(() => world.closes())

describe.each(TRANSPORTS)('over %s', (transport) => {
  const name = (user: string) => `${user} ${transport}`
  let alice: Device
  let phone: Device
  let laptop: Device

  beforeAll(async () => {
    alice = await world.arrives(name('alice'), 'phone', { transport })
    phone = await world.arrives(name('bob'), 'phone', { transport })
    laptop = await world.arrives(name('bob'), 'laptop', { transport })
  })

  test('all devices ring, one answers, the others stop, both negotiate, one hangs up', async () => {
    const callId = await alice.requests(name('bob'), { type: 'AUDIO', calleeUserName: 'Bob' })
    for (const device of [phone, laptop]) {
      const { body } = await device.hears('/user/queue/call/request', {
        callId,
        type: 'AUDIO',
        callee: name('bob'),
        calleeUserName: 'Bob',
        caller: name('alice'),
        remainingMs: 30_000,
      })
      expect(body).toHaveProperty('callerUserName')
    }
    await alice.hears('/user/queue/call/ringing', { callId })

    await phone.accepts(callId)
    await alice.hears('/user/queue/call/response', { callId, type: 'ACCEPT' })
    await laptop.hears('/user/queue/call/down', { callId, type: 'ACCEPT', reason: 'ANSWERED_ELSEWHERE' })

    await alice.signals(callId, 'OFFER', 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n')
    const offer = await phone.hears('/user/queue/rtc/signaling', {
      callId,
      type: 'OFFER',
      payload: 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\n',
    })
    expect(offer.headers.from).toBe(name('alice'))
    await phone.signals(callId, 'ANSWER', 'v=0')
    await alice.hears('/user/queue/rtc/signaling', { callId, type: 'ANSWER' })
    const candidate = { candidate: 'candidate:1 1 udp 1 127.0.0.1 9 typ host', sdpMid: '0', sdpMLineIndex: 0 }
    await phone.signals(callId, 'ICE_CANDIDATE', candidate)
    await alice.hears('/user/queue/rtc/signaling', { callId, type: 'ICE_CANDIDATE', payload: candidate })

    await phone.hangsUp()
    await alice.hears('/user/queue/call/hangup', { callId, reason: 'HANGUP' })
    for (const device of [alice, phone, laptop]) await device.hearsNothing()
  })

  test('a signalling body reaches the other side byte for byte', async () => {
    const callId = await alice.requests(name('bob'))
    await phone.accepts(callId)
    const body = `{ "payload" :\t"v=0\\r\\n\\u00e9 ☎ 𝄞",\n"type":"OFFER" , "callId":"${callId}", "mine": [1.50, 1e3] }`
    await alice.says('/app/rtc/signaling', body)
    const { raw } = await phone.hears('/user/queue/rtc/signaling', { callId })
    expect(Buffer.from(raw).toString()).toBe(body)
    await alice.hangsUp()
    for (const device of [alice, phone, laptop]) await device.forgets()
  })

  test('errors come to the errors queue and the connection stays', async () => {
    await alice.says('/app/call/request', { callId: 'x', callee: name('bob'), callerUserName: ' ' })
    await alice.hears('/user/queue/errors', {
      code: 400,
      message: 'callerUserName: must not be blank',
      callId: 'x',
      destination: '/app/call/request',
    })
    const deep = `{"callId":"y","callee":"${name('bob')}","callerUserName":"A","more":${'['.repeat(9_000)}${']'.repeat(9_000)}}`
    await alice.says('/app/call/request', deep)
    await alice.hears('/user/queue/errors', { code: 400, message: 'body: must not be nested deeper than 32 levels' })
    await alice.says('/app/no/such/thing', {})
    await alice.hears('/user/queue/errors', { code: 404 })
    await alice.says('/topic/user/status', [])
    await alice.hears('/user/queue/errors', { code: 403 })
    await alice.hearsNothing()
  })

  test('who is online, and TURN credentials', async () => {
    await alice.says('/app/user/status', [name('bob'), 'nobody'])
    const { body } = await alice.hears('/topic/user/status')
    expect(body).toEqual([
      { userId: name('bob'), status: 'ONLINE' },
      { userId: 'nobody', status: 'OFFLINE' },
    ])
    await alice.says('/app/turn/get-turn-credentials', '')
    await alice.hears('/user/queue/turn/get-turn-credentials', { iceServers: [] })
    await alice.hearsNothing()
  })
})
