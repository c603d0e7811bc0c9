import { expect, test } from '@jest/globals'
import { Lifecycle } from '../../src/lifecycle.ts'

function watched() {
  const told: string[] = []
  const logged: string[] = []
  const lifecycle = new Lifecycle({ error: (_, text) => void logged.push(text) })
  const part = (name: string, failing: 'start' | 'stop' | 'never' = 'never') => ({
    name,
    start: async () => {
      if (failing === 'start') throw new Error(`${name} cannot start`)
      told.push(`+${name}`)
    },
    stop: async () => {
      if (failing === 'stop') throw new Error(`${name} cannot stop`)
      told.push(`-${name}`)
    },
  })
  return { told, logged, lifecycle, part }
}

test('parts stop in the reverse order of their start, once', async () => {
  const { told, lifecycle, part } = watched()
  for (const name of ['a', 'b', 'c']) await lifecycle.start(part(name))
  await Promise.all([lifecycle.stop(), lifecycle.stop()])
  expect(told).toEqual(['+a', '+b', '+c', '-c', '-b', '-a'])
})

test('a part that cannot start stops those that run, and its error goes on', async () => {
  const { told, lifecycle, part } = watched()
  await lifecycle.start(part('a'))
  await expect(lifecycle.start(part('b', 'start'))).rejects.toThrow('b cannot start')
  expect(told).toEqual(['+a', '-a'])
})

test('a part that cannot stop is logged and holds up nobody', async () => {
  const { told, logged, lifecycle, part } = watched()
  await lifecycle.start(part('a'))
  await lifecycle.start(part('b', 'stop'))
  await lifecycle.stop()
  expect(told).toEqual(['+a', '+b', '-a'])
  expect(logged).toEqual(['b did not stop cleanly'])
})
