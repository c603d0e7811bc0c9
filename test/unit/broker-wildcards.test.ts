import { describe, expect, test } from '@jest/globals'
import { hasWildcard, Wildcards, wildcardFault } from '../../broker/wildcards.ts'

describe('wildcards', () => {
  test.each([
    ['/topic/a', false],
    ['/topic/a*', false],
    ['/topic/*a*', false],
    ['/topic/#1', false],
    ['/topic/*', true],
    ['/topic/a.*.b', true],
    ['/topic/a/*/b', true],
    ['/topic/a.#', true],
    ['/topic/a.>', true],
    ['/topic/**', true],
  ])('%s has some: %s', (destination, has) => {
    expect(hasWildcard(destination)).toBe(has)
  })

  test('those for any number of words stand at the end only', () => {
    expect(wildcardFault('/topic/a.*.b.#')).toBeUndefined()
    expect(wildcardFault('/topic/a.#.b')).toBe('# may only be the last word; * stands for one word')
  })

  test('who has gone is not found any more, and leaves nothing behind', () => {
    const wildcards = new Wildcards<string>()
    wildcards.add('/topic/*', 'a')
    wildcards.add('/topic/*', 'b')
    wildcards.add('/topic/#', 'c')
    expect(wildcards.listening('/topic/x')).toEqual(['a', 'b', 'c'])
    wildcards.remove('/topic/*', 'a')
    wildcards.remove('/topic/none', 'a')
    expect(wildcards.listening('/topic/x')).toEqual(['b', 'c'])
  })

  test('there are no more than a thousand different ones at a time', () => {
    const wildcards = new Wildcards<string>()
    for (let i = 0; i < 1000; i++) expect(wildcards.add(`/topic/${i}.*`, 'a')).toBe(true)
    expect(wildcards.add('/topic/more.*', 'a')).toBe(false)
    expect(wildcards.add('/topic/1.*', 'b')).toBe(true)
    wildcards.remove('/topic/2.*', 'a')
    expect(wildcards.add('/topic/more.*', 'a')).toBe(true)
  })
})
