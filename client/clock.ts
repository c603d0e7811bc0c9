/** Time as an argument, so that tests can hold it in their hand. The same shape as the server's clock. */

export interface Clock {
  /** Milliseconds since the Unix epoch. */
  now(): number
  /** Runs `run` once, `ms` milliseconds from now; what it returns takes that back. */
  after(ms: number, run: () => void): () => void
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
}
