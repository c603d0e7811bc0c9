import { describe, expect, test } from '@jest/globals'
import { CutProxy } from '../support/cut-proxy.ts'
import { Group } from '../support/group.ts'
import { type NodeAtHand, nodeAt } from '../support/nodes.ts'

/** Short, so that tests need not wait; the relation is that of the product. */
const LEASE = { leaseMs: 800, renewMs: 100 }

describe('members', () => {
  const group = new Group()

  async function joins(url = group.at.url): Promise<NodeAtHand & { inherits(): Promise<string>; inherited: string[] }> {
    const node = await group.joins(nodeAt({ ...group.at, url, ...LEASE }))
    const inherited: string[] = []
    const wake: (() => void)[] = []
    node.members.onDeath(async (dead) => {
      inherited.push(dead)
      for (const one of wake.splice(0)) one()
    })
    const inherits = async () => {
      if (inherited.length === 0) await new Promise<void>((resolve) => wake.push(resolve))
      return inherited[0] ?? ''
    }
    return Object.assign(node, { inherited, inherits })
  }

  test('know each other, and what each says of itself', async () => {
    const [a, b] = [await joins(), await joins()]
    expect(b.members.living()).toEqual(new Set([a.id, b.id]))
    const reports = await b.members.reports()
    expect(reports.map(({ id, facts }) => [id, facts?.name])).toEqual(
      expect.arrayContaining([
        [a.id, `called ${a.id}`],
        [b.id, `called ${b.id}`],
      ]),
    )
    // By its greeting, before the next renewal
    b.says(a.id, 'hello')
    await a.hears(1)
    expect(a.members.living()).toContain(b.id)
  })

  test('the dead have one heir', async () => {
    const [a, b, c] = [await joins(), await joins(), await joins()]
    await a.dies()
    await Promise.race([b.inherits(), c.inherits()])
    expect([...b.inherited, ...c.inherited]).toEqual([a.id])
    const [survivor] = b.inherited.length > 0 ? [b] : [c]
    expect(survivor?.members.living()).not.toContain(a.id)
  })

  test('who leaves in order is inherited from at once', async () => {
    const [a, b] = [await joins(), await joins()]
    await a.stop()
    expect(await b.inherits()).toBe(a.id)
  })

  test('what the heir cannot finish is inherited again', async () => {
    const [a, b] = [await joins(), await joins()]
    let tries = 0
    const done = new Promise<void>((resolve) => {
      b.members.onDeath(async () => {
        if (++tries === 1) throw new Error('not now')
        resolve()
      })
    })
    await a.dies()
    await done
    expect(tries).toBe(2)
  })

  test('when the heir dies too, another one takes over both', async () => {
    const [a, b] = [await joins(), await joins()]
    const stuck = new Promise<void>((resolve) => {
      b.members.onDeath(() => {
        resolve()
        return new Promise(() => undefined)
      })
    })
    await a.dies()
    await stuck
    const c = await joins()
    await b.dies()
    const both = new Promise<string[]>((resolve) => {
      c.members.onDeath(async () => {
        if (new Set(c.inherited).size === 2) resolve(c.inherited)
      })
    })
    expect(new Set(await both)).toEqual(new Set([a.id, b.id]))
  })

  test('a process that was taken for dead registers again, after its heir is done', async () => {
    const proxy = await CutProxy.to(group.redis.port)
    const a = await joins(`redis://127.0.0.1:${proxy.port}`)
    const b = await joins()
    let finish: () => void = () => undefined
    const order: string[] = []
    const finished = new Promise<void>((resolve) => {
      finish = resolve
    })
    b.members.onDeath(async () => {
      await finished
      order.push('heir is done')
    })
    const revived = new Promise<void>((resolve) => {
      a.members.onRevival(async () => {
        order.push('registers again')
        resolve()
      })
    })
    proxy.cut()
    await b.inherits()
    proxy.heal()
    await a.up()
    finish()
    await revived
    expect(order).toEqual(['heir is done', 'registers again'])
    await a.stop()
    await proxy.stop()
  })

  test('a process whose Redis has lost everything registers again; nobody inherits', async () => {
    const [a, b] = [await joins(), await joins()]
    const revived = [a, b].map(
      ({ members }) => new Promise<void>((resolve) => members.onRevival(async () => resolve())),
    )
    await group.redis.restart()
    await Promise.all(revived)
    expect([...a.inherited, ...b.inherited]).toEqual([])
    await Promise.all([a.up(), b.up()])
    expect((await a.members.reports()).length).toBe(2)
  })

  test('when nobody could renew for longer than a lease, nobody is taken for dead but who does not come back', async () => {
    const [a, b, c] = [await joins(), await joins(), await joins()]
    await c.dies()
    await group.redis.cli('ZADD', `${group.prefix}{nodes}leases`, ...[a, b, c].flatMap(({ id }) => ['1', id]))
    expect(await Promise.race([a.inherits(), b.inherits()])).toBe(c.id)
    expect([...a.inherited, ...b.inherited]).toEqual([c.id])
  })

  test('a short cut of the network is no death', async () => {
    const proxy = await CutProxy.to(group.redis.port)
    const a = await joins(`redis://127.0.0.1:${proxy.port}`)
    const b = await joins()
    proxy.cut()
    await a.down()
    proxy.heal()
    await a.up()
    b.says(a.id, 'still there?')
    await a.hears(1)
    expect(b.inherited).toEqual([])
    await a.stop()
    await proxy.stop()
  })
})
