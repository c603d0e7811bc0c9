import { describe, expect, test } from '@jest/globals'
import { Lines } from '../../src/lines.ts'
import { type Awaitable, perform, type Steps, wait, waitForAll } from '../../src/steps.ts'

/** A promise whose end is in the test's hand. */
function promised<T>() {
  let resolve: (value: T) => void = () => undefined
  let reject: (error: Error) => void = () => undefined
  const promise = new Promise<T>((resolved, rejected) => {
    resolve = resolved
    reject = rejected
  })
  return { promise, resolve, reject }
}

describe('work in steps', () => {
  function* sum(...parts: Awaitable<number>[]): Steps<number> {
    let total = 0
    for (const part of parts) total += yield* wait(part)
    return total
  }

  test('has its result at once when everything answers at once', () => {
    expect(perform(sum(1, 2, 3))).toBe(6)
  })

  test('waits where something is promised, in the middle too', async () => {
    const result = perform(sum(1, Promise.resolve(2), 3, Promise.resolve(4)))
    expect(result).toBeInstanceOf(Promise)
    expect(await result).toBe(10)
  })

  test('throws at once what is thrown at once, and is rejected with what comes later', async () => {
    // biome-ignore lint/correctness/useYield: it is the work that fails before it waits
    function* fails(): Steps<never> {
      throw new Error('at once')
    }
    expect(() => perform(fails())).toThrow('at once')
    await expect(perform(sum(Promise.resolve(1), Promise.reject(new Error('later'))))).rejects.toThrow('later')
  })

  test('may catch what it waits for', async () => {
    function* catches(): Steps<string> {
      try {
        yield* wait(Promise.reject(new Error('lost')))
        return 'kept'
      } catch {
        return 'caught'
      }
    }
    expect(await perform(catches())).toBe('caught')
  })

  test('waits for several together', async () => {
    const [first, second] = [promised<number>(), promised<number>()]
    const both = perform(waitForAll([first.promise, second.promise, 3]))
    second.resolve(2)
    first.resolve(1)
    expect(await both).toEqual([1, 2, 3])
    expect(perform(waitForAll([1, 2]))).toEqual([1, 2])
  })
})

describe('lines', () => {
  test('what can be done at once is done at once, also after something that threw', () => {
    const lines = new Lines()
    expect(lines.run('a', () => 1)).toBe(1)
    expect(() =>
      lines.run('a', () => {
        throw new Error('no')
      }),
    ).toThrow('no')
    expect(lines.run('a', () => 2)).toBe(2)
  })

  test('work for one key waits for the work before it, failed or not; other keys do not wait', async () => {
    const lines = new Lines()
    const done: string[] = []
    const first = promised<void>()
    const note = (what: string) => () => void done.push(what)
    const begun = lines.run('a', () => first.promise.then(note('first')))
    const behind = [lines.run('a', note('second')), lines.run('a', note('third'))]
    void lines.run('b', note('other'))
    expect(done).toEqual(['other'])
    first.reject(new Error('lost'))
    await expect(begun).rejects.toThrow('lost')
    await Promise.all(behind)
    expect(done).toEqual(['other', 'second', 'third'])
    expect(lines.run('a', () => 'at once')).toBe('at once')
  })

  test('work that is begun by the work before it waits until that is done', async () => {
    const lines = new Lines()
    const done: string[] = []
    let inner: Awaitable<unknown>
    void lines.run('a', () => {
      inner = lines.run('a', () => done.push('inner'))
      done.push('outer')
    })
    await inner
    expect(done).toEqual(['outer', 'inner'])
  })
})
