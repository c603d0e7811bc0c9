/** Calls between real browsers through the page, on one machine. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals'
import type { Browser } from 'playwright-core'
import { connect, launch, Phone } from './phone.ts'
import { type RunningServer, startServer } from './server.ts'

jest.setTimeout(60_000)

let server: RunningServer
/** As wide as the page is laid out for. */
const DESKTOP = { width: 1280, height: 800 }
/** Two processes, as two machines would have; the third person and the second device are windows of theirs. */
let one: Browser
let two: Browser
/** Opened by a test, and closed behind it. */
const phones: Phone[] = []
/** The same two in most tests, each on a desk of its own: to open a page takes longer than what is done with it. */
let a: Phone
let b: Phone

beforeAll(async () => {
  ;[server, one, two] = await Promise.all([startServer(), launch(), launch()])
  ;[a, b] = await Promise.all([desk(one, 'alice'), desk(two, 'bob')])
})

afterAll(async () => {
  await Promise.all([one?.close(), two?.close()])
  await server?.stop()
})

/** Nobody is in a call or in the middle of a word any more, and no page has anything to complain of. */
afterEach(async () => {
  const complaints = phones.flatMap((phone) => phone.complaints)
  await Promise.all(phones.splice(0).map((phone) => phone.close()))
  await Promise.all([a, b].map((phone) => phone.hangsUpAll()))
  await Promise.all([a, b].map((phone) => phone.stage('idle')))
  await Promise.all([a, b].map((phone) => phone.leavesTheKeys()))
  expect([...complaints, ...a.newComplaints(), ...b.newComplaints()]).toEqual([])
})

function desk(browser: Browser, name: string, options = {}): Promise<Phone> {
  return Phone.of(browser, server.url, name, { viewport: DESKTOP, ...options })
}

async function phone(browser: Browser, name: string, options = {}): Promise<Phone> {
  const opened = await desk(browser, name, options)
  phones.push(opened)
  return opened
}

/**
 * For phones that a test opens: used once, so that it sees nobody else's people. They are opened one after the other only
 * where one is to see the other come: of who was there before, a page hears nothing.
 */
let run = 0
const names = () => ({ alice: `alice${++run}`, bob: `bob${run}` })

test('two browsers call each other and see and hear each other', async () => {
  const { alice, bob } = names()
  const a = await phone(one, alice)
  const b = await phone(two, bob)
  await a.shot('home')
  await a.shows(bob, 'online')
  await a.calls(bob)
  await b.stage('incoming')
  await a.says(`Ringing on one device of ${bob}`)
  await b.says(`${alice} calls you with video`)
  await Promise.all([a.shot('ringing'), b.shot('incoming-video')])
  await b.press('accept')
  await Promise.all([a.stage('connected'), b.stage('connected')])
  await Promise.all([a.decodes(30), b.decodes(30), a.hears(50), b.hears(50)])
  await a.page.waitForSelector('#path:not([hidden])')
  await Promise.all([a.shot('connected-caller'), b.shot('connected-callee')])
  await a.press('hang-up')
  await b.tells(new RegExp(`${alice} hung up after 00:0[1-9]`))
  await a.tells(/You hung up/)
  await Promise.all([a.shot('ended-caller'), b.shot('ended-callee')])
})

test('a voice call has no picture until somebody switches the camera on, and again none when it is off', async () => {
  await a.calls('bob', 'Voice')
  await b.stage('incoming')
  await b.shot('incoming-voice')
  await b.press('accept')
  await Promise.all([a.stage('connected'), b.stage('connected')])
  await Promise.all([a.hears(20), b.hears(20)])
  await a.shot('connected-voice')
  expect(await b.page.getAttribute('#stage', 'data-remote-video')).toBe('false')
  await a.press('camera')
  await b.page.waitForSelector('#stage[data-remote-video=true]')
  await b.decodes(10)
  await b.press('camera')
  await a.page.waitForSelector('#stage[data-remote-video=true]')
  await a.press('camera')
  await b.page.waitForSelector('#stage[data-remote-video=false]')
  await a.page.waitForSelector('#stage[data-local-video=false]')
  await a.press('camera')
  await b.page.waitForSelector('#stage[data-remote-video=true]')
  await b.decodes(10)
})

test('mute silences the microphone and says so', async () => {
  await connect(a, b, 'bob')
  await a.press('mute')
  await a.page.waitForSelector('#mute[aria-pressed=true]')
  expect(await a.page.evaluate(() => carillon.calls[0]?.localStream?.getAudioTracks()[0]?.enabled)).toBe(false)
  await a.shot('muted')
  await a.press('mute')
  await a.page.waitForSelector('#mute[aria-pressed=false]')
})

describe('somebody with two devices', () => {
  let pocket: Phone

  beforeAll(async () => {
    pocket = await desk(two, 'bob')
  })

  afterAll(() => pocket?.close())

  beforeEach(async () => {
    await a.calls('bob')
    await Promise.all([b.stage('incoming'), pocket.stage('incoming')])
  })

  afterEach(() => expect(pocket.newComplaints()).toEqual([]))

  test('every device of the callee rings; when one answers, the other says where', async () => {
    await a.says('Ringing on 2 devices of bob')
    await a.shot('ringing-two-devices')
    await pocket.press('accept')
    await b.tells('Answered on another device')
    await Promise.all([a.stage('connected'), pocket.stage('connected')])
    await Promise.all([a.decodes(5), pocket.decodes(5)])
    await b.shot('answered-elsewhere')
    await b.stage('idle')
  })

  test('when one device declines, the caller hears it and the other devices stop ringing', async () => {
    await b.press('decline')
    await a.tells('bob declined')
    await pocket.tells('Declined on another device')
    await a.shot('declined')
  })
})

test('the caller can take it back, and the callee sees that the call was missed', async () => {
  await a.calls('bob')
  await b.stage('incoming')
  await a.press('hang-up')
  await b.tells('Missed call from alice')
  await a.tells('Call cancelled')
  await b.shot('missed')
})

test('somebody who is in a call is busy for others', async () => {
  const c = await phone(one, 'carol')
  await connect(a, b, 'bob')
  await c.calls('bob')
  await c.tells('bob is busy')
  await c.shot('busy')
  await b.stage('connected')
})

test('two who call each other at the same moment are connected', async () => {
  await Promise.all([a.calls('bob'), b.calls('alice')])
  await Promise.all([a.stage('connected'), b.stage('connected')])
  await Promise.all([a.decodes(5), b.decodes(5)])
})

describe('without a mouse', () => {
  test('the keyboard calls, answers, and hangs up with Escape pressed twice', async () => {
    await a.page.focus('#callee')
    await a.page.keyboard.type('bob')
    await a.page.keyboard.press('Enter')
    await b.stage('incoming')
    await b.page.waitForSelector('#accept:focus')
    await b.page.keyboard.press('Enter')
    await Promise.all([a.stage('connected'), b.stage('connected')])
    await a.page.keyboard.press('m')
    await a.page.waitForSelector('#mute[aria-pressed=true]')
    await a.page.keyboard.press('Escape')
    await a.page.locator('#problem').filter({ hasText: 'Press Escape again to hang up' }).waitFor()
    await a.shot('escape-once')
    await b.stage('connected')
    await a.page.keyboard.press('Escape')
    await b.tells(/hung up/)
  })

  test('a call that comes in does not take the keys of somebody who is typing', async () => {
    await b.page.focus('#callee')
    await b.page.keyboard.type('ca')
    await a.calls('bob')
    await b.stage('incoming')
    expect(await b.page.evaluate(() => document.activeElement?.id)).toBe('callee')
  })
})

describe('the frames that go by', () => {
  test('are shown with the token masked and the SDP folded', async () => {
    const { alice, bob } = names()
    const [a, b] = await Promise.all([phone(one, alice), phone(two, bob)])
    await a.page.click('#frames-toggle')
    await connect(a, b, bob)
    const offer = a.page.locator('.frame:has(.kind:text-is("offer"))').first()
    await offer.locator('summary').first().click()
    await offer.locator('.sdp').waitFor()
    expect(await offer.locator('.sdp pre').isVisible()).toBe(false)
    await a.page.locator('.frame[data-command=CONNECT] summary').click()
    await a.page.locator('.frame[data-command=CONNECT] .headers').filter({ hasText: 'ide: •••' }).waitFor()
    await a.shot('frames')
    const { token } = JSON.parse(await a.page.evaluate(() => sessionStorage.getItem('carillon.who') ?? ''))
    expect(await a.page.locator('#frames').innerHTML()).not.toContain(token)
  })
})

describe('on a telephone', () => {
  const pocket = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true }

  test('everything fits its width, and what one touches is large enough', async () => {
    const { alice, bob } = names()
    const a = await phone(one, alice, pocket)
    const b = await phone(two, bob, pocket)
    await a.shows(bob, 'online')
    await fits(a)
    await a.shot('phone-home')
    await a.calls(bob)
    await b.stage('incoming')
    await fits(b)
    await b.shot('phone-incoming')
    await b.press('accept')
    await Promise.all([a.stage('connected'), b.stage('connected')])
    await Promise.all([a.decodes(5), b.decodes(5)])
    await fits(a)
    await a.shot('phone-connected')
    for (const control of await a.page.locator('.control').all()) {
      const box = await control.boundingBox()
      expect(Math.min(box?.width ?? 0, box?.height ?? 0)).toBeGreaterThanOrEqual(44)
    }
    await a.press('hang-up')
    await b.tells(/hung up/)
    await b.shot('phone-ended')
    await a.page.click('#frames-toggle')
    await a.shot('phone-frames')
  })

  async function fits({ page }: Phone): Promise<void> {
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth)
    expect(wide).toBe(0)
  }
})

test('in the dark', async () => {
  const { alice, bob } = names()
  const a = await phone(one, alice, { colorScheme: 'dark' })
  const b = await phone(two, bob, { colorScheme: 'dark', reducedMotion: 'reduce' })
  await a.shows(bob, 'online')
  await a.shot('dark-home')
  await a.calls(bob)
  await b.stage('incoming')
  await b.shot('dark-incoming')
  await b.press('decline')
  await a.tells(/declined/)
  await a.page.click('#frames-toggle')
  await a.shot('dark-declined')
})
