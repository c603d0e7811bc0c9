/**
 * Runs test files one after the other: each starts several processes or browsers of its own, and two of them on one machine
 * would only wait for each other, with everybody's timers. Beside them, in workers, goes what needs nothing but time of a
 * processor, and gives way to them: the long fuzz runs.
 */

import { createRequire } from 'node:module'

const { default: TestRunner } = createRequire(import.meta.url)('jest-runner')

export default class OneAtATime extends TestRunner {
  async runTests(tests, watcher, { serial }) {
    const beside = serial ? [] : tests.filter(({ context }) => context.config.displayName.name === 'fuzz')
    const inTurn = tests.filter((test) => !beside.includes(test))
    await Promise.all([
      super.runTests(inTurn, watcher, { serial: true }),
      ...(beside.length > 0 ? [super.runTests(beside, watcher, { serial: false })] : []),
    ])
  }
}
