/** Who is online is the same answer on every node. */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Device } from '../support/story.ts'
import { alone, Cluster, type ClusterNode, STATUS } from './world.ts'

type Status = 'ONLINE' | 'OFFLINE'
type Change = { readonly userId: string; readonly status: Status }

/** Reads what a device is told of others until that has been told of each of these; what was told, in order. */
async function until(device: Device, users: string | readonly string[], status: Status): Promise<Change[]> {
  const told: Change[] = []
  const awaited = new Set([users].flat())
  while (awaited.size > 0) {
    const { body } = await device.hears(STATUS)
    for (const change of body as Change[]) {
      told.push(change)
      if (change.status === status) awaited.delete(change.userId)
    }
  }
  return told
}

const about = (user: string, changes: readonly Change[]): Status[] =>
  changes.filter(({ userId }) => userId === user).map(({ status }) => status)

/** The status of each, as this device is answered. */
async function asked(device: Device, users: readonly string[]): Promise<Status[]> {
  await device.forgets()
  await device.says('/app/user/status', users)
  for (;;) {
    const { body } = await device.hears(STATUS)
    const answer = body as Change[]
    if (answer.length === users.length && answer.every(({ userId }, place) => userId === users[place]))
      return answer.map(({ status }) => status)
  }
}

describe.each(['all', 'watched'])('scope %s', (scope) => {
  let cluster: Cluster
  let a: ClusterNode
  let b: ClusterNode
  let c: ClusterNode
  let watcher: Device

  beforeAll(async () => {
    cluster = new Cluster(await alone(), { PRESENCE_SCOPE: scope })
    ;[a, b, c] = await cluster.nodes(3)
    watcher = await a.arrives('watcher', 'screen', { listens: [STATUS] })
  })

  afterAll(() => cluster.closes())

  test('a user who connects and leaves on another node is told online and offline', async () => {
    expect(await asked(watcher, ['ann'])).toEqual(['OFFLINE'])
    const ann = await b.arrives('ann')
    await until(watcher, 'ann', 'ONLINE')
    expect(await asked(watcher, ['ann', 'nobody'])).toEqual(['ONLINE', 'OFFLINE'])
    await ann.leaves()
    expect(about('ann', await until(watcher, 'ann', 'OFFLINE'))).toEqual(['OFFLINE'])
    expect(await asked(watcher, ['ann'])).toEqual(['OFFLINE'])
  })

  test('HTTP on any node answers the same', async () => {
    const ben = await b.arrives('ben')
    for (const node of [a, b, c]) {
      const { body } = await node.asks('watcher', '/imserver/user/status', ['ben', 'nobody'])
      expect(body.data).toEqual([
        { userId: 'ben', status: 'ONLINE' },
        { userId: 'nobody', status: 'OFFLINE' },
      ])
    }
    await ben.leaves()
  })

  test('with devices on two nodes a user is offline when the last has left', async () => {
    await asked(watcher, ['cleo', 'marker'])
    const [phone, laptop] = [await b.arrives('cleo'), await c.arrives('cleo', 'laptop')]
    await until(watcher, 'cleo', 'ONLINE')
    await phone.leaves()
    const marker = await b.arrives('marker')
    await until(watcher, 'marker', 'ONLINE')
    await marker.leaves()
    expect(about('cleo', await until(watcher, 'marker', 'OFFLINE'))).toEqual([])
    await laptop.leaves()
    expect(about('cleo', await until(watcher, 'cleo', 'OFFLINE'))).toEqual(['OFFLINE'])
  })

  test('a user who comes back on another node within the delay was never away', async () => {
    await asked(watcher, ['dora', 'marker'])
    const dora = await b.arrives('dora')
    const marker = await b.arrives('marker')
    await until(watcher, 'marker', 'ONLINE')
    await watcher.forgets()
    await dora.leaves()
    await c.arrives('dora')
    await marker.leaves()
    expect(about('dora', await until(watcher, 'marker', 'OFFLINE'))).toEqual([])
    expect(await asked(watcher, ['dora'])).toEqual(['ONLINE'])
  })

  test('the users of a node that is killed go offline, but for those who are elsewhere too or come back in time', async () => {
    const d = await cluster.node()
    const gone = Array.from({ length: 40 }, (_, number) => `gone-${number}`)
    const stay = ['stays', 'comes-back']
    await asked(watcher, [...gone, ...stay])
    for (const user of [...gone, ...stay]) await d.arrives(user)
    // The answer below may come before the news of the last of them
    await until(watcher, [...gone, ...stay], 'ONLINE')
    await c.arrives('stays', 'laptop')
    expect(new Set(await asked(watcher, [...gone, ...stay]))).toEqual(new Set(['ONLINE']))
    await d.kill()
    await c.arrives('comes-back')
    const told = await until(watcher, gone, 'OFFLINE')
    for (const user of gone) expect(about(user, told)).toEqual(['OFFLINE'])
    for (const user of stay) expect(about(user, told)).not.toContain('OFFLINE')
    expect(await asked(watcher, stay)).toEqual(['ONLINE', 'ONLINE'])
    for (const node of [a, b, c]) {
      const { body } = await node.asks('watcher', '/imserver/user/status', [...gone, ...stay])
      expect((body.data as Change[]).filter(({ status }) => status === 'ONLINE').map(({ userId }) => userId)).toEqual(
        stay,
      )
    }
  })
})
