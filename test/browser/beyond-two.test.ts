/** Hold, transfer, rooms and call waiting between real browsers, through the page. */

import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals'
import type { Browser } from 'playwright-core'
import { connect, launch, Phone } from './phone.ts'
import { type RunningServer, startServer } from './server.ts'

jest.setTimeout(90_000)

type Name = 'alice' | 'bob' | 'carol' | 'dave'
interface Person {
  readonly name: Name
  readonly phone: Phone
}

let server: RunningServer
let browser: Browser
/** The same four all the time, one after the other in all that can be done with calls: to open a page takes longer. */
let people: Record<Name, Person>

beforeAll(async () => {
  ;[server, browser] = await Promise.all([
    startServer({ CALL_WAITING: 'true', DATABASE_URL: 'sqlite::memory:' }),
    launch(),
  ])
  const arrive = async <N extends Name>(name: N): Promise<[N, Person]> => [
    name,
    { name, phone: await Phone.of(browser, server.url, name, { small: true }) },
  ]
  const all = await Promise.all([arrive('alice'), arrive('bob'), arrive('carol'), arrive('dave')])
  people = Object.fromEntries(all) as Record<Name, Person>
})

afterAll(async () => {
  await browser?.close()
  await server?.stop()
})

/** Nobody is in a call any more, and no page has anything to complain of. */
afterEach(async () => {
  const phones = Object.values(people).map(({ phone }) => phone)
  await Promise.all(phones.map((phone) => phone.hangsUpAll()))
  await Promise.all(phones.map((phone) => phone.stage('idle')))
  expect(phones.flatMap((phone) => phone.newComplaints())).toEqual([])
})

/** Each of them sees each other. */
async function see(...all: Person[]): Promise<void> {
  const others = (one: Person) => all.filter((other) => other !== one).map(({ name }) => name)
  await Promise.all(all.map((one) => one.phone.sees(others(one), 5)))
  await Promise.all(all.map(({ phone }) => phone.paints()))
}

/** Nothing stands out of the width of a telephone, and what one touches is large enough. */
async function fitsAPocket(phone: Phone, shot: string): Promise<void> {
  const { page } = phone
  const before = page.viewportSize() ?? { width: 1280, height: 800 }
  await page.setViewportSize({ width: 390, height: 844 })
  for (const control of await page.locator('.control').all()) {
    const { x = -1, width = 0, height = 0 } = (await control.boundingBox()) ?? {}
    expect(x).toBeGreaterThanOrEqual(0)
    expect(x + width).toBeLessThanOrEqual(390)
    expect(Math.min(width, height)).toBeGreaterThanOrEqual(44)
  }
  await phone.shot(shot)
  await page.setViewportSize(before)
}

test('a call that was missed is in the list of recent calls, counted until it is seen, and called back from there', async () => {
  const { alice, bob } = people
  await alice.phone.calls(bob.name)
  await bob.phone.stage('incoming')
  await alice.phone.press('hang-up')
  await bob.phone.tells(`Missed call from ${alice.name}`)
  await bob.phone.page.locator('#missed-badge').filter({ hasText: '1' }).waitFor()
  await bob.phone.page.click('#tab-recent')
  const row = bob.phone.page.locator(`#recent .past[data-user="${alice.name}"]`)
  await row.filter({ hasText: 'missed' }).waitFor()
  await bob.phone.shot('recent')
  await bob.phone.page.waitForSelector('#missed-badge', { state: 'hidden' })
  await row.locator('[data-again=VIDEO]').click()
  await alice.phone.stage('incoming')
})

test('on hold nothing goes either way, both sides show it, and it goes on when nobody holds', async () => {
  const { alice, bob } = people
  await connect(alice.phone, bob.phone, bob.name)
  await see(alice, bob)
  await alice.phone.press('hold')
  await Promise.all([alice.phone.isHeld('me'), bob.phone.isHeld('peer')])
  await bob.phone.says(`${alice.name} has put you on hold`)
  await fitsAPocket(bob.phone, 'phone-held')
  await Promise.all([alice.phone.isSilent(bob.name), bob.phone.isSilent(alice.name)])
  await Promise.all([alice.phone.shot('hold-mine'), bob.phone.shot('hold-theirs')])
  await bob.phone.press('hold')
  await alice.phone.says(`On hold by you and by ${bob.name}`)
  await alice.phone.press('hold')
  await alice.phone.isHeld('peer')
  await bob.phone.press('hold')
  await Promise.all([alice.phone.isHeld('none'), bob.phone.isHeld('none')])
  await see(alice, bob)
})

describe('a transfer', () => {
  test('at once brings the two together who remain, and the one who arranged it is out', async () => {
    const { alice, bob, carol } = people
    await connect(alice.phone, bob.phone, bob.name)
    await see(alice, bob)
    await alice.phone.press('transfer')
    await alice.phone.shot('transfer-dialog')
    await alice.phone.chooses([carol.name], 'now')
    await carol.phone.says(`transferred by ${alice.name}`)
    await bob.phone.says(`${alice.name} transfers you to ${carol.name}`)
    await Promise.all([
      carol.phone.shot('transfer-rings'),
      bob.phone.shot('transfer-waits'),
      alice.phone.shot('transfer-arranges'),
    ])
    await carol.phone.press('accept')
    await alice.phone.tells(`${bob.name} is now with ${carol.name}`)
    await alice.phone.stage('idle')
    await Promise.all([bob.phone.stage('connected'), carol.phone.stage('connected')])
    await see(bob, carol)
    await bob.phone.shot('transfer-done')
  })

  test('after asking first needs no second answer', async () => {
    const { alice, bob, carol } = people
    await connect(alice.phone, bob.phone, bob.name)
    await see(alice, bob)
    await alice.phone.press('transfer')
    await alice.phone.chooses([carol.name], 'ask')
    await bob.phone.isHeld('peer')
    await carol.phone.stage('incoming')
    await alice.phone.hasLine(bob.name, 'held')
    await carol.phone.press('accept')
    await see(alice, carol)
    await alice.phone.shot('consulting')
    await alice.phone.press('complete')
    await alice.phone.stage('idle')
    await see(bob, carol)
    await carol.phone.shot('transfer-asked')
    await bob.phone.press('hang-up')
    await carol.phone.tells(/hung up/)
  })

  test('that is declined gives the two back to each other', async () => {
    const { alice, bob, carol } = people
    await connect(alice.phone, bob.phone, bob.name)
    await see(alice, bob)
    await alice.phone.press('transfer')
    await alice.phone.chooses([carol.name], 'now')
    await carol.phone.stage('incoming')
    await carol.phone.press('decline')
    await alice.phone.complains(`${carol.name} declined: ${bob.name} is with you again`)
    await Promise.all([alice.phone.isHeld('none'), bob.phone.isHeld('none')])
    await see(alice, bob)
    await bob.phone.shot('transfer-declined')
  })
})

test('three in a room see each other, a fourth joins, and those who stay go on', async () => {
  const { alice, bob, carol, dave } = people
  await connect(alice.phone, bob.phone, bob.name)
  await see(alice, bob)
  await alice.phone.press('add')
  await alice.phone.shot('room-dialog')
  await alice.phone.chooses([carol.name], 'add')
  await carol.phone.says(`${alice.name} invites you to a call with ${bob.name}`)
  await alice.phone.shot('room-ringing')
  await carol.phone.press('accept')
  await see(alice, bob, carol)
  await Promise.all([alice.phone.showsMember(carol.name), alice.phone.showsMember(bob.name)])
  await Promise.all([alice.phone.shot('room-three'), carol.phone.shot('room-three-newcomer')])

  await alice.phone.press('hold')
  await Promise.all([
    bob.phone.showsHolding(alice.name),
    carol.phone.showsHolding(alice.name),
    alice.phone.isHeld('me'),
  ])
  await Promise.all([alice.phone.isSilent(bob.name), carol.phone.isSilent(alice.name)])
  await Promise.all([alice.phone.shot('room-hold-mine'), bob.phone.shot('room-hold-theirs')])
  await alice.phone.press('hold')
  await see(alice, bob, carol)

  await bob.phone.press('add')
  await bob.phone.chooses([dave.name], 'add')
  await dave.phone.stage('incoming')
  // Long after they have touched their pages they see and hear who comes all the same
  await Promise.all([alice.phone.isLeftAlone(), carol.phone.isLeftAlone()])
  await dave.phone.press('accept')
  await see(alice, bob, carol, dave)
  await Promise.all([dave.phone.showsMember(alice.name), dave.phone.showsMember(bob.name)])
  await dave.phone.showsMember(carol.name)
  await dave.phone.shot('room-four')
  await fitsAPocket(dave.phone, 'phone-room')
  await dave.phone.press('add')
  await dave.phone.chooses(['erin'], 'add')
  await dave.phone.complains('At most 4 people can be in this call.')
  await dave.phone.page.waitForSelector('#add', { state: 'detached' })

  await carol.phone.press('hang-up')
  await Promise.all([alice.phone.showsNoMember(carol.name), dave.phone.showsNoMember(carol.name)])
  await bob.phone.press('hang-up')
  await see(alice, dave)
  await alice.phone.shot('room-two')
  await dave.phone.press('hang-up')
  await alice.phone.page.locator('#over-name').filter({ hasText: 'Only you are left' }).waitFor()
  await alice.phone.press('hang-up')
})

test('a second call is answered by holding the first, and one goes from one to the other', async () => {
  const { alice, bob, carol } = people
  await connect(bob.phone, alice.phone, alice.name)
  await see(alice, bob)
  await carol.phone.calls(alice.name)
  await alice.phone.hasLine(carol.name, 'waiting')
  await alice.phone.shot('waiting')
  await alice.phone.pressLine(carol.name, 'answer')
  await see(alice, carol)
  await bob.phone.isHeld('peer')
  await alice.phone.hasLine(bob.name, 'held')
  await alice.phone.pressLine(bob.name, 'switch')
  await Promise.all([see(alice, bob), carol.phone.isHeld('peer')])
  await alice.phone.shot('switched')
  await bob.phone.press('hang-up')
  await see(alice, carol)
})
