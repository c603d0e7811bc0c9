import { describe, expect, test } from '@jest/globals'
import { IceRecovery } from '../../client/ice-recovery.ts'
import { openMedia } from '../../client/media.ts'
import { TestClock } from '../support/clock.ts'

describe('the repair of a media path', () => {
  function setUp() {
    const clock = new TestClock()
    const events: string[] = []
    const recovery = new IceRecovery({
      clock,
      broken: false,
      patienceMs: 3_000,
      restart: () => events.push('restart'),
      interrupted: (on) => events.push(on ? 'interrupted' : 'back'),
      giveUp: () => events.push('given up'),
    })
    return { clock, events, recovery }
  }

  test('leaves a short disconnection to heal by itself', async () => {
    const { clock, events, recovery } = setUp()
    recovery.observe('disconnected')
    await clock.advance(2_999)
    recovery.observe('connected')
    await clock.advance(60_000)
    expect(events).toEqual(['interrupted', 'back'])
  })

  test('restarts after some seconds of disconnection', async () => {
    const { clock, events, recovery } = setUp()
    recovery.observe('disconnected')
    await clock.advance(3_000)
    expect(events).toEqual(['interrupted', 'restart'])
  })

  test('restarts at once when the path has failed, also in the middle of its patience', () => {
    const { events, recovery } = setUp()
    recovery.observe('disconnected')
    recovery.observe('failed')
    expect(events).toEqual(['interrupted', 'restart'])
  })

  test('gives a restart its time, then tries again, and gives up after four', async () => {
    const { clock, events, recovery } = setUp()
    recovery.observe('failed')
    recovery.observe('connecting')
    recovery.observe('failed')
    await clock.advance(7_999)
    expect(events).toEqual(['interrupted', 'restart'])
    await clock.advance(8_000 * 3 + 1)
    expect(events).toEqual(['interrupted', 'restart', 'restart', 'restart', 'restart', 'given up'])
  })

  test('counts from the start again after it has worked', async () => {
    const { clock, events, recovery } = setUp()
    recovery.observe('failed')
    await clock.advance(8_000 * 2)
    recovery.observe('connected')
    events.length = 0
    recovery.observe('failed')
    await clock.advance(8_000 * 3)
    expect(events).toEqual(['interrupted', 'restart', 'restart', 'restart', 'restart'])
  })

  test('waits while nobody can be asked for an answer, then begins at once, with all its tries', async () => {
    const { clock, events, recovery } = setUp()
    recovery.observe('disconnected')
    recovery.away = true
    recovery.observe('failed')
    await clock.advance(60_000)
    expect(events).toEqual(['interrupted'])
    recovery.away = false
    await clock.advance(8_000 * 3)
    expect(events).toEqual(['interrupted', 'restart', 'restart', 'restart', 'restart'])
  })

  test('has nothing to do after a time away that the media have not noticed', async () => {
    const { clock, events, recovery } = setUp()
    recovery.observe('connected')
    recovery.away = true
    recovery.away = false
    await clock.advance(60_000)
    expect(events).toEqual([])
  })

  test('begins anew when the other side is back', async () => {
    const { clock, events, recovery } = setUp()
    recovery.hurry(0)
    recovery.observe('failed')
    await clock.advance(8_000 * 2)
    recovery.hurry(2_500)
    await clock.advance(2_499)
    expect(events).toEqual(['interrupted', 'restart', 'restart', 'restart'])
    await clock.advance(1 + 8_000 * 3)
    expect(events.filter((event) => event === 'restart')).toHaveLength(7)
    expect(events).not.toContain('given up')
  })

  test('ends with the call', async () => {
    const { clock, events, recovery } = setUp()
    recovery.observe('disconnected')
    recovery.close()
    await clock.advance(60_000)
    expect([events, clock.waiting]).toEqual([['interrupted'], 0])
  })
})

describe('camera and microphone', () => {
  const stream = (name: string) => ({ name }) as unknown as MediaStream
  const failure = (name: string) => Object.assign(new Error(name), { name })
  const BOTH = { audio: true, video: true }

  test('are opened together', async () => {
    expect(await openMedia(async () => stream('both'), BOTH)).toEqual({ stream: { name: 'both' }, problem: undefined })
  })

  test.each([
    ['NotAllowedError', 'media-refused'],
    ['NotFoundError', 'media-missing'],
    ['NotReadableError', 'media-in-use'],
  ])('without a camera (%s) the microphone is still opened, and the problem is told', async (name, code) => {
    const opened = await openMedia(async ({ video }) => {
      if (video) throw failure(name)
      return stream('voice')
    }, BOTH)
    expect(opened).toMatchObject({ stream: { name: 'voice' }, problem: { code } })
  })

  test('without a microphone the camera is still opened', async () => {
    const opened = await openMedia(async ({ audio }) => {
      if (audio) throw failure('NotFoundError')
      return stream('picture')
    }, BOTH)
    expect(opened).toMatchObject({ stream: { name: 'picture' }, problem: { code: 'media-missing' } })
  })

  test('without either a call is still possible', async () => {
    const refuse = async () => Promise.reject(failure('NotAllowedError'))
    expect(await openMedia(refuse, BOTH)).toMatchObject({ stream: undefined, problem: { code: 'media-refused' } })
    expect(await openMedia(undefined, BOTH)).toMatchObject({ stream: undefined, problem: { code: 'media-missing' } })
  })

  test('a voice call does not ask for the camera, however it goes', async () => {
    const asked: unknown[] = []
    const refuse = async (constraints: MediaStreamConstraints) => {
      asked.push(constraints.video)
      throw failure('NotAllowedError')
    }
    await openMedia(refuse, { audio: true, video: false })
    expect(asked).toEqual([false])
  })
})
