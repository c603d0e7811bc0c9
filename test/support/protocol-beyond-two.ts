/** The sections of docs/protocol.md on calls that are held, transferred, waiting, or were missed. */

import type { RecordedDevice, Recorder } from './recorder.ts'
import type { World } from './story.ts'

/** What a section is written with. */
export interface Page {
  readonly world: World
  readonly recorder: Recorder
  connects(user: string, device: string, queues: readonly string[]): Promise<RecordedDevice>
  /** Words between the frames. */
  says(...text: string[]): void
  /** The frames since the last time. */
  shows(): void
}

const HEARS = ['request', 'response', 'hangup', 'ringing', 'hold', 'transfer'].map((name) => `/user/queue/call/${name}`)
const QUEUES = [...HEARS, '/user/queue/errors']

const FIRST = '8A1E6C52-0D7B-4F3E-9B1A-64D2C7E0F311'
const SECOND = '3C7F9E10-5B24-4C8D-8E6F-2A9B0D1C4E57'
const NEXT = 'B94D2F6A-71C3-4E08-A5D9-0F8E3B7C6A12'
const MISSED = 'E2B7A4C9-3F16-4D5B-9C80-71A6D3F5E048'

/** `who` calls, `whom` answers; both of them can do everything. */
async function inCall(page: Page, callId: string, who: RecordedDevice, whom: RecordedDevice, callee: string) {
  who.sends(
    'SEND',
    { destination: '/app/call/request', receipt: `begin ${callId}` },
    `{"callId":"${callId}","type":"AUDIO","callee":"${callee}","callerUserName":"Heidi","features":["hold","transfer"]}`,
  )
  await whom.hears()
  for (const _ of ['ringing', 'receipt']) await who.hears()
  accepts(whom, callId)
  for (const device of [who, whom]) await device.hears()
  page.recorder.take()
}

function accepts(device: RecordedDevice, callId: string) {
  device.sends(
    'SEND',
    { destination: '/app/call/response', receipt: 'answer' },
    `{"callId":"${callId}","type":"ACCEPT","features":["hold","transfer"]}`,
  )
}

/** A call is held, its holder consults somebody and joins the two; then one is passed on without a question. */
export async function holdAndTransfer(page: Page): Promise<void> {
  const { recorder, says, shows } = page
  const heidi = await page.connects('heidi', 'phone', QUEUES)
  const ivan = await page.connects('ivan', 'phone', QUEUES)
  const judy = await page.connects('judy', 'phone', QUEUES)
  await inCall(page, FIRST, heidi, ivan, 'ivan')

  says(
    '## Hold\n',
    'Each side may; who does not subscribe to `/user/queue/call/hold` hears nothing of it. Heidi and ivan talk, and heidi puts',
    'the call on hold. The server touches no media: her client offers `sendonly` or `inactive`, the other one follows.',
    '`version` says which of two is the later. `hold:false` takes the call up again.\n',
  )
  heidi.sends('SEND', { destination: '/app/call/hold', receipt: 'r1' }, `{"callId":"${FIRST}","hold":true}`)
  await ivan.hears()
  await heidi.hears()
  shows()

  says(
    '## Transfer\n',
    'While ivan is on hold heidi may make a second call, to ask judy first; she ends up in two calls, one of them on hold.',
    'Then she joins the two: ivan calls judy in a new call, which rings on judy’s device alone, says who has transferred him,',
    'and `replaces` the one that judy is in. `/user/queue/call/transfer` tells heidi and ivan how far it is. With',
    '`"mode":"BLIND"` (without `withCallId`) the target need not be in a call, and rings on every device.\n',
  )
  await inCall(page, SECOND, heidi, judy, 'judy')
  heidi.sends(
    'SEND',
    { destination: '/app/call/transfer', receipt: 'r2' },
    `{"callId":"${FIRST}","target":"judy","mode":"ATTENDED","withCallId":"${SECOND}"}`,
  )
  const told = await heidi.hears()
  recorder.name(/"newCallId":"([^"]+)"/.exec(told)?.[1] ?? '', '<the new callId>')
  await ivan.hears()
  await judy.hears()
  await ivan.hears()
  await heidi.hears()
  shows()
  says('Judy’s client answers by itself. With that both calls of before are over, in one step.\n')
  const newCallId = /"newCallId":"([^"]+)"/.exec(told)?.[1] ?? ''
  accepts(judy, newCallId)
  for (const device of [ivan, ivan, ivan, heidi, heidi, heidi, judy, judy]) await device.hears()
  shows()
  says(
    'Is the new call not answered, `state` is `FAILED` with a `reason`, and the call of before goes on, as it was. A client that',
    'has not said `transfer` is not transferred: 1007.\n',
  )
  judy.sends('SEND', { destination: '/app/call/hangup', receipt: 'bye' })
  await judy.hears()
  await ivan.hears()
  recorder.take()
}

/** Somebody who talks is shown a second call, and answers it. */
export async function callWaiting(page: Page): Promise<void> {
  const { says, shows } = page
  const ken = await page.connects('ken', 'phone', QUEUES)
  const lena = await page.connects('lena', 'phone', QUEUES)
  const mike = await page.connects('mike', 'phone', QUEUES)
  await inCall(page, FIRST.replace('8A1E', '8A1F'), ken, lena, 'lena')
  says(
    '## A second call\n',
    'Where the deployment says `CALL_WAITING=true`; else a second caller hears 1001. Lena talks with ken when mike calls: the',
    'request says `waiting`. Her client asks her whether to hold the first one; ACCEPT does that in the same step.\n',
  )
  mike.sends(
    'SEND',
    { destination: '/app/call/request', receipt: 'r1' },
    `{"callId":"${NEXT}","type":"AUDIO","callee":"lena","callerUserName":"Mike","features":["hold"]}`,
  )
  await lena.hears()
  for (const _ of ['ringing', 'receipt']) await mike.hears()
  accepts(lena, NEXT)
  await mike.hears()
  await ken.hears()
  for (const _ of ['hold', 'receipt']) await lena.hears()
  shows()
  for (const device of [mike, ken]) {
    device.sends('SEND', { destination: '/app/call/hangup', receipt: 'bye' })
    await device.hears()
    await lena.hears()
  }
  page.recorder.take()
}

/** Somebody who was away finds what they have missed. */
export async function missedCalls(page: Page): Promise<void> {
  const { world, says, shows } = page
  const nora = await page.connects('nora', 'phone', QUEUES)
  nora.sends(
    'SEND',
    { destination: '/app/call/request', receipt: 'r1' },
    `{"callId":"${MISSED}","callee":"oscar","callerUserName":"Nora","calleeUserName":"Oscar"}`,
  )
  await nora.hears()
  await world.clock.advance(12_000)
  nora.sends('SEND', { destination: '/app/call/hangup', receipt: 'r2' })
  await nora.hears()
  // Until then it is in the history: who asks finds it
  await world.asks('oscar', '/imserver/call/history', undefined, { method: 'GET' })
  page.recorder.take()
  says(
    '## Missed calls\n',
    'Where a history is kept. Nora has called oscar, who was away, and has given up. Whenever a device of oscar’s subscribes, it',
    'is told the latest 20 calls that he has missed and not seen yet, if there are any, and how many there are (`unread`, up to',
    '1000); after that each one when it is missed. A call may be told twice: its `callId` tells.\n',
  )
  const phone = await page.connects('oscar', 'phone', [])
  page.recorder.take()
  phone.sends('SUBSCRIBE', { id: '0', destination: '/user/queue/call/missed', receipt: 's0' })
  for (const _ of ['receipt', 'missed']) await phone.hears()
  shows()
  const tablet = await page.connects('oscar', 'tablet', ['/user/queue/call/missed'])
  await tablet.hears()
  page.recorder.take()
  says(
    'When oscar has seen them his client says so, up to a moment (`{"until":…}`) or, with an empty body, all of them. His other',
    'devices hear how many are left, with no calls.\n',
  )
  phone.sends('SEND', { destination: '/app/call/history/read', receipt: 'r1' })
  await phone.hears()
  await tablet.hears()
  shows()
  says('All his calls are at `GET /imserver/call/history`, page by page ([openapi.json](openapi.json)).\n')
  const asked = '/imserver/call/history?only=missed&size=20'
  page.recorder.note('oscar’s phone', 'sends', `GET ${asked}\nide:<token of oscar>`)
  const { body } = await world.asks('oscar', asked, undefined, { method: 'GET' })
  page.recorder.note('oscar’s phone', 'hears', `HTTP 200\n\n${JSON.stringify(body)}`)
  shows()
}
