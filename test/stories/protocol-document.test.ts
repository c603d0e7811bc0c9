/** docs/protocol.md is what really goes over the wire: `RECORD=1 npm test -- protocol-document` writes it anew. */

import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { TestClock } from '../support/clock.ts'
import { callWaiting, holdAndTransfer, missedCalls } from '../support/protocol-beyond-two.ts'
import { RecordedDevice, Recorder } from '../support/recorder.ts'
import { opens, tokenFor } from '../support/story.ts'

const FILE = new URL('../../docs/protocol.md', import.meta.url)

const OFFER = 'v=0\\r\\no=- 4611 2 IN IP4 127.0.0.1\\r\\ns=-\\r\\n…'

async function record(): Promise<string> {
  const world = await opens(
    {
      TURN_ENABLED: '',
      STUN_URLS: 'stun:turn.example.org:3478',
      TURN_URLS: 'turn:turn.example.org:3478?transport=udp',
      TURN_SECRET: 'shared with the relay',
      CALL_WAITING: 'true',
      DATABASE_URL: 'sqlite::memory:',
    },
    new TestClock(Date.UTC(2026, 0, 1)),
  )
  const recorder = new Recorder()
  const devices: RecordedDevice[] = []

  const issues = async (user: string, name = `<token of ${user}>`, claims: Record<string, unknown> = {}) => {
    const token = await tokenFor(user, claims)
    recorder.name(token, name)
    return token
  }

  const connects = async (user: string, device: string, queues: readonly string[], given?: string) => {
    const token = given ?? (await issues(user))
    const who = `${user}'s ${device}`
    const address = `${world.url.replace('http', 'ws')}/imserver/ws?userId=${user}`
    const peer = await RecordedDevice.opens(who, address, recorder)
    devices.push(peer)
    peer.sends('CONNECT', { 'accept-version': '1.2', host: 'im.example.org', ide: token, 'heart-beat': '10000,10000' })
    const connected = await peer.hears()
    const session = /\nsession:(.*)\n/.exec(connected)?.[1] ?? ''
    peer.session = session
    peer.resumeId = /\nresume-id:(.*)\n/.exec(connected)?.[1] ?? ''
    // It begins with the session
    recorder.name(peer.resumeId, `<resume-id of ${who}>`)
    recorder.name(session, `<session of ${who}>`)
    for (const [n, queue] of queues.entries()) {
      peer.sends('SUBSCRIBE', { id: String(n), destination: queue, receipt: `s${n}` })
      await peer.hears()
    }
    return peer
  }

  const parts: string[] = []
  const says = (...text: string[]) => void parts.push(...text)
  const shows = () => says(recorder.take())

  try {
    says(
      '# A call, frame by frame\n',
      'Recorded from a run of the server: alice calls bob, who has two devices; a test holds this page equal to what goes',
      'over the wire. `^@` is the NUL that ends a frame; `<…>` stands for what differs from run to run. Every message here',
      'is described in [asyncapi.json](asyncapi.json), every code in [errors.md](errors.md).\n',
      '## Connecting\n',
      'The WebSocket goes to `ws(s)://host:port/imserver/ws?userId=alice` (SockJS: the same path with `http(s)`). The token',
      'is in the header `ide`. Each SUBSCRIBE asks for a receipt, so that the client knows when it is in effect.\n',
    )
    const alice = await connects('alice', 'phone', [
      '/user/queue/call/response',
      '/user/queue/call/ringing',
      '/user/queue/call/hangup',
      '/user/queue/rtc/signaling',
      '/user/queue/turn/get-turn-credentials',
      '/user/queue/errors',
      '/topic/user/status',
    ])
    shows()
    const bobs = [
      '/user/queue/call/request',
      '/user/queue/call/down',
      '/user/queue/call/hangup',
      '/user/queue/rtc/signaling',
    ]
    const phone = await connects('bob', 'phone', bobs)
    const laptop = await connects('bob', 'laptop', bobs)
    recorder.take()

    says(
      '## Who is online\n',
      'The answer comes to the asking session only; later changes are pushed on the same subscription.\n',
    )
    alice.sends('SEND', { destination: '/app/user/status' }, '["bob","carol"]')
    await alice.hears()
    shows()

    says(
      '## TURN credentials\n',
      'Good for `ttl` seconds, as coturn checks them with `use-auth-secret`, in the order to be tried: STUN, then TURN over UDP,',
      'TCP and TLS. Ask anew before each call. A session that has asked once hears fresh ones here when 80 % of `ttl` is over,',
      'without asking, and so on for as long as it is connected and subscribed. Where there are relays in several regions, a',
      'body `{"region":"eu"}` (over HTTP `?region=eu`) asks for those of one.\n',
    )
    alice.sends('SEND', { destination: '/app/turn/get-turn-credentials' })
    await alice.hears()
    shows()

    says(
      '## A request rings\n',
      "Every device of bob's gets the request as it was sent, with `caller` and `remainingMs` added.\n",
    )
    const callId = 'F15D1A7F-907C-605E-9904-3B4A17688754'
    const request = `{"callId":"${callId}","type":"VIDEO","callee":"bob","callerUserName":"Alice","calleeUserName":"Bob"}`
    alice.sends(
      'SEND',
      { destination: '/app/call/request', 'content-type': 'application/json', receipt: 'r1' },
      request,
    )
    await phone.hears()
    await laptop.hears()
    await alice.hears()
    await alice.hears()
    shows()

    says(
      '## Signalling before the answer\n',
      'The caller need not wait: what it sends now is kept for the device that will answer (64 frames, 256 KiB).\n',
    )
    alice.sends(
      'SEND',
      { destination: '/app/rtc/signaling', receipt: 'r2' },
      `{"callId":"${callId}","type":"OFFER","payload":"${OFFER}"}`,
    )
    await alice.hears()
    shows()

    says(
      '## One device answers\n',
      'The other one stops ringing, the caller hears it, and the kept OFFER arrives, body untouched.\n',
    )
    phone.sends('SEND', { destination: '/app/call/response', receipt: 'r1' }, `{"callId":"${callId}","type":"ACCEPT"}`)
    await phone.hears()
    await phone.hears()
    await laptop.hears()
    await alice.hears()
    shows()

    says('## Negotiation\n', 'From here on signalling goes from bound device to bound device.\n')
    phone.sends(
      'SEND',
      { destination: '/app/rtc/signaling' },
      `{"callId":"${callId}","type":"ANSWER","payload":"${OFFER}"}`,
    )
    await alice.hears()
    const candidate = 'candidate:1 1 udp 2113929471 192.0.2.1 50000 typ host'
    const ice = `{"callId":"${callId}","type":"ICE_CANDIDATE","payload":{"candidate":"${candidate}","sdpMid":"0","sdpMLineIndex":0}}`
    phone.sends('SEND', { destination: '/app/rtc/signaling' }, ice)
    await alice.hears()
    shows()

    says('## Hanging up\n', 'An empty body means the current call.\n')
    phone.sends('SEND', { destination: '/app/call/hangup', receipt: 'r2' })
    await phone.hears()
    await alice.hears()
    shows()

    says(
      '## When something is wrong\n',
      'A refusal comes on the errors queue and closes nothing; the `receipt-id` says to which SEND it belongs.\n',
    )
    alice.sends(
      'SEND',
      { destination: '/app/call/request', receipt: 'r3' },
      '{"callId":"1","callee":"bob","callerUserName":" "}',
    )
    await alice.hears()
    shows()

    says('Only a frame that breaks STOMP itself ends the connection, with an ERROR.\n')
    laptop.sends('SEND', { receipt: 'r1' }, '{}')
    await laptop.hears()
    await laptop.closed()
    shows()

    says(
      '## A token that ends\n',
      'A session hears of the end of its token a minute before (one that comes later than that, when it subscribes), and puts',
      'another one in its place. The connection stays. Without a new one the session is cut 10 seconds after the end; in a',
      'call it may signal, hold and hang up until the call is over, for 10 minutes at most.\n',
    )
    const now = Math.floor(world.clock.now() / 1000)
    const ending = await issues('carol', '<token of carol>', { exp: now + 45 })
    const another = await issues('carol', '<another token of carol>', { exp: now + 3600 })
    const carol = await connects('carol', 'phone', ['/user/queue/auth'], ending)
    await carol.hears()
    carol.sends('SEND', { destination: '/app/auth/refresh', receipt: 'r1' }, `{"token":"${another}"}`)
    await carol.hears()
    await carol.hears()
    shows()

    says(
      '## Resuming after a lost connection\n',
      'CONNECTED carries a `resume-id`, and every MESSAGE a number (`seq`). A client that loses its connection without',
      'DISCONNECT connects again within 30 seconds, and says with its CONNECT which session it goes on with (`resume-id`)',
      'and the last number that it has got (`last-seq`; 0: none). `resumed:true`: it is the same session. Subscriptions are',
      'in force, what was missed follows at once and in order, exactly as it was, and calls go on. Here dave loses the',
      'network while his phone rings, and alice hangs up meanwhile.\n',
    )
    const lateCallId = '5D0A9C3E-7F4B-41F0-9F1C-2E3B6D7A8C90'
    const dave = await connects('dave', 'phone', ['/user/queue/call/request', '/user/queue/call/hangup'])
    recorder.take()
    alice.sends(
      'SEND',
      { destination: '/app/call/request', receipt: 'r4' },
      `{"callId":"${lateCallId}","callee":"dave","callerUserName":"Alice"}`,
    )
    await dave.hears()
    await alice.hears()
    await alice.hears()
    dave.cut()
    await world.notes('dave')
    alice.sends('SEND', { destination: '/app/call/hangup', receipt: 'r5' })
    await alice.hears()
    shows()
    const again = await RecordedDevice.opens("dave's phone", dave.address, recorder)
    devices.push(again)
    again.sends('CONNECT', {
      'accept-version': '1.2',
      host: 'im.example.org',
      ide: await issues('dave', '<token of dave>'),
      'heart-beat': '10000,10000',
      'resume-id': dave.resumeId,
      'last-seq': '1',
    })
    await again.hears()
    await again.hears()
    shows()
    says(
      'A SUBSCRIBE takes the place of the subscription that was there before: of the one with its id, and of one to the same',
      'destination under another id. So clients that subscribe anew after every CONNECTED need no other code for this.',
      '',
      '- `resumed:false`: it is a new session, with a new `resume-id`. The time is over, or more was missed than is kept (64 KiB',
      '  by default), or STOMP’s version is another one, or the session ended: by DISCONNECT, by an ERROR, because its token was',
      '  revoked. The client subscribes, and asks for what it shows. A claim with a wrong secret, or of another user, changes',
      '  nothing for the session that it names.',
      '- The old connection need not be gone: a phone that changes networks leaves one behind that looks open. It is closed with',
      '  4001, `the session goes on over another connection`. Whoever gets that must not resume the session again.',
      '- Transactions, RECEIPTs and unacknowledged messages of open queues do not survive: a SEND that has no RECEIPT is sent',
      '  again, which does no harm to any command here. A new token of the same user is welcome, and is the token of the session',
      '  from then on.',
      '- Changes of presence are not kept for one who is away: it hears how things are when it is back, and their numbers are',
      '  left out of what follows CONNECTED.',
      '- To others a user whose last connection is lost goes OFFLINE after 5 seconds. A client that says `resume:true` with its',
      '  CONNECT promises to come back: then its user stays ONLINE for as long as it may. The other side of a call hears',
      '  `peer-reattached:true` with the first signalling frame after the return: a good moment for an ICE restart.',
      '- A client that knows nothing of all this gets a call that still rings again when it subscribes to',
      '  `/user/queue/call/request`, and the end of a call that it was in when it subscribes to `/user/queue/call/hangup` with the',
      '  token that it had.\n',
    )

    says(
      '## A call of several\n',
      'Clients that say `room` in `features`, with the request or with ACCEPT, can ask more people into a call of two; the',
      'others see nothing of it. Everybody rings and answers for themselves. Here erin and frank talk, and erin invites gina.',
      'Who is in hears the whole roster at each change; `version` says which of two is the later.\n',
    )
    const roomId = '0B6E6E1C-3A52-4D0E-8C0B-8F0D7B1F2E11'
    const queues = ['call/request', 'call/response', 'call/hangup', 'call/room', 'rtc/signaling', 'errors']
    const listens = queues.map((queue) => `/user/queue/${queue}`)
    const erin = await connects('erin', 'phone', listens)
    const frank = await connects('frank', 'phone', listens)
    const gina = await connects('gina', 'phone', listens)
    erin.sends(
      'SEND',
      { destination: '/app/call/request' },
      `{"callId":"${roomId}","callee":"frank","callerUserName":"Erin","calleeUserName":"Frank","features":["room"]}`,
    )
    await frank.hears()
    const joins = `{"callId":"${roomId}","type":"ACCEPT","features":["room"]}`
    frank.sends('SEND', { destination: '/app/call/response' }, joins)
    await erin.hears()
    recorder.take()
    erin.sends(
      'SEND',
      { destination: '/app/call/invite', receipt: 'r1' },
      `{"callId":"${roomId}","invitees":["gina"],"names":{"gina":"Gina"}}`,
    )
    await gina.hears()
    await frank.hears()
    await erin.hears()
    await erin.hears()
    shows()
    says('With ACCEPT gina is in the room; there is no `call/response`, the roster says it.\n')
    gina.sends('SEND', { destination: '/app/call/response', receipt: 'r1' }, joins)
    for (const device of [gina, gina, erin, frank]) await device.hears()
    shows()
    says(
      'Who has joined offers to everybody who was there. `to` says for whom a frame is; its octets are not touched.\n',
    )
    gina.sends(
      'SEND',
      { destination: '/app/rtc/signaling' },
      `{"callId":"${roomId}","type":"OFFER","payload":"${OFFER}","to":"erin"}`,
    )
    await erin.hears()
    shows()
    says('Who hangs up leaves; the room is over when one has been alone in it for 30 seconds.\n')
    erin.sends('SEND', { destination: '/app/call/hangup', receipt: 'r2' }, `{"callId":"${roomId}"}`)
    await erin.hears()
    await frank.hears()
    await gina.hears()
    shows()

    const page = { world, recorder, connects, says, shows }
    await holdAndTransfer(page)
    await callWaiting(page)
    await missedCalls(page)

    says('## Leaving\n', 'The RECEIPT of DISCONNECT means that everything before it is done.\n')
    alice.sends('DISCONNECT', { receipt: 'bye' })
    await alice.hears()
    await alice.closed()
    shows()
    return parts.join('\n')
  } finally {
    await world.closes()
  }
}

test('docs/protocol.md is what goes over the wire', async () => {
  const recorded = await record()
  if (process.env.RECORD === '1') writeFileSync(FILE, recorded)
  expect(readFileSync(FILE, 'utf8')).toBe(recorded)
})
