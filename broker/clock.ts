/**
 * Time as an argument. Everything that waits takes a {@link Clock}, so that a test can hold one in its hand.
 */

/** Ends a timer that has not fired yet; harmless afterwards. */
export type Cancel = () => void

export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** Runs `run` once, `ms` milliseconds from now (at once when `ms` is not positive, but never before returning). */
  after(ms: number, run: () => void): Cancel
}

/** setTimeout holds its delay in a signed 32-bit integer; a larger one would fire at once. */
const LONGEST_TIMEOUT_MS = 2_147_483_647

/** The machine's own clock. Its timers keep no process alive: servers do that with their sockets. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, Math.min(Math.max(ms, 0), LONGEST_TIMEOUT_MS))
    timer.unref()
    return () => clearTimeout(timer)
  },
}
