/**
 * What a test file runs in: Jest's own environment for Node, which leaves nothing behind that slows down the next file.
 *
 * jest-circus has an AsyncLocalStorage per file and never disables it. Before Node 24 every promise of a process passes
 * through every storage that has been entered there: after fifty files a promise costs a hundred times as much.
 */

import { AsyncLocalStorage } from 'node:async_hooks'
import { TestEnvironment } from 'jest-environment-node'

const entered = new Set()

const { run } = AsyncLocalStorage.prototype
AsyncLocalStorage.prototype.run = function (...parameters) {
  entered.add(this)
  return run.apply(this, parameters)
}

export default class LeavesNoStorage extends TestEnvironment {
  async teardown() {
    await super.teardown()
    for (const storage of entered) storage.disable()
    entered.clear()
  }
}
