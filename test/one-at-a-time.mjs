/**
 * Runs the test files of a project one after the other: each starts several processes or browsers of its own, and two of
 * them on one machine would only wait for each other, with everybody's timers.
 */

import { createRequire } from 'node:module'

const { default: TestRunner } = createRequire(import.meta.url)('jest-runner')

export default class OneAtATime extends TestRunner {
  isSerial = true
}
