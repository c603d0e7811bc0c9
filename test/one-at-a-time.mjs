/**
 * Runs test files that start several processes or browsers of their own: of each kind one after the other, since two of
 * a kind on one machine would only wait for each other, with everybody's timers. Two lanes go side by side: what mostly waits
 * for leases and grace times (processes with a Redis), and browsers. Beside them goes what needs nothing but time of a
 * processor, and gives way to them: the long fuzz runs.
 */

import { createRequire } from 'node:module'

const { default: TestRunner } = createRequire(import.meta.url)('jest-runner')

export default class OneAtATime extends TestRunner {
  #browsers
  #fuzz

  constructor(globalConfig, context) {
    super(globalConfig, context)
    this.#browsers = new TestRunner({ ...globalConfig, maxWorkers: 1 }, context)
    this.#fuzz = new TestRunner({ ...globalConfig, maxWorkers: 2 }, context)
  }

  async runTests(tests, watcher, { serial }) {
    if (serial) return super.runTests(tests, watcher, { serial })
    const of = (project) => tests.filter(({ context }) => context.config.displayName.name === project)
    const beside = [
      [this.#browsers, of('browser')],
      [this.#fuzz, of('fuzz')],
    ].filter(([, own]) => own.length > 0)
    const others = tests.filter((test) => !beside.some(([, own]) => own.includes(test)))
    await Promise.all([
      super.runTests(others, watcher, { serial: true }),
      ...beside.map(([lane, own]) => lane.runTests(own, watcher, { serial: false })),
    ])
  }

  on(event, listener) {
    const offs = [super.on(event, listener), ...[this.#browsers, this.#fuzz].map((lane) => lane.on(event, listener))]
    return () => {
      for (const off of offs) off()
    }
  }
}
