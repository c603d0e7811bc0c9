import { describe, expect, test } from '@jest/globals'
import { Renewal } from '../../src/turn/renewal.ts'
import { TestClock } from '../support/clock.ts'

function renewal(outcome: () => 'told' | 'unheard' | 'nothing' = () => 'told', ttlSeconds = 1000) {
  const clock = new TestClock()
  const start = clock.now()
  const tried: [string, number, string | undefined][] = []
  const tell = (session: string, region: string | undefined) => {
    tried.push([session, (clock.now() - start) / 1000, region])
    return outcome()
  }
  return { clock, tried, renewal: new Renewal({ clock, ttlSeconds, tell }) }
}

describe('fresh credentials', () => {
  test('are told when 80 % of their life is over, again and again, of the region that was asked for', async () => {
    const { clock, tried, renewal: all } = renewal()
    all.asked('a', 'eu')
    await clock.advance(799_999)
    expect(tried).toEqual([])
    await clock.advance(1)
    expect(tried).toEqual([['a', 800, 'eu']])
    await clock.advance(1_600_000)
    expect(tried.map(([, at]) => at)).toEqual([800, 1600, 2400])
  })

  test('are not told to somebody who has just asked again', async () => {
    const { clock, tried, renewal: all } = renewal()
    all.asked('a')
    await clock.advance(700_000)
    all.asked('a')
    await clock.advance(799_999)
    expect(tried).toEqual([])
    await clock.advance(1)
    expect(tried).toEqual([['a', 1500, undefined]])
  })

  test('are not told to somebody who has never asked, or has gone', async () => {
    const { clock, tried, renewal: all } = renewal()
    all.asked('a')
    all.listens('b')
    all.disconnected('a')
    all.disconnected('b')
    all.listens('a')
    await clock.advance(2_000_000)
    expect(tried).toEqual([])
    expect(all.size).toBe(0)
    expect(clock.waiting).toBe(0)
  })

  test('that nobody heard are told as soon as somebody listens, and not before', async () => {
    let hears = false
    const { clock, tried, renewal: all } = renewal(() => (hears ? 'told' : 'unheard'))
    all.asked('a')
    all.listens('a')
    expect(tried).toEqual([])
    await clock.advance(5_000_000)
    expect(tried.map(([, at]) => at)).toEqual([800])
    hears = true
    all.listens('a')
    expect(tried.map(([, at]) => at)).toEqual([800, 5000])
    await clock.advance(800_000)
    expect(tried.map(([, at]) => at)).toEqual([800, 5000, 5800])
  })

  test('wait while no relay is up: they are tried again after a twentieth of their life', async () => {
    let up = false
    const { clock, tried, renewal: all } = renewal(() => (up ? 'told' : 'nothing'))
    all.asked('a')
    await clock.advance(850_000)
    up = true
    await clock.advance(849_999)
    expect(tried.map(([, at]) => at)).toEqual([800, 850, 900])
  })

  test('that live for a second are not tried more than twice in it', async () => {
    const { clock, tried, renewal: all } = renewal(() => 'nothing', 1)
    all.asked('a')
    await clock.advance(3000)
    expect(tried.map(([, at]) => at)).toEqual([0.8, 1.3, 1.8, 2.3, 2.8])
  })

  test('take one timer, however many have asked, and none after stop()', async () => {
    const { clock, tried, renewal: all } = renewal()
    for (let each = 0; each < 10_000; each++) all.asked(`s${each}`)
    expect(clock.waiting).toBe(1)
    await clock.advance(810_000)
    expect(tried).toHaveLength(10_000)
    all.stop()
    await clock.advance(2_000_000)
    expect(tried).toHaveLength(10_000)
  })
})
