import type { Cancel, Clock } from '../../broker/clock.ts'

/** A clock that stands still until a test moves it. Timers fire in the order of their times, then of their setting. */
export class TestClock implements Clock {
  #now: number
  #next = 0
  readonly #timers = new Map<number, { at: number; run: () => void }>()

  constructor(now = Date.UTC(2026, 0, 1)) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  after(ms: number, run: () => void): Cancel {
    const id = this.#next++
    this.#timers.set(id, { at: this.#now + Math.max(ms, 0), run })
    return () => void this.#timers.delete(id)
  }

  /** How many timers wait. */
  get waiting(): number {
    return this.#timers.size
  }

  /** Moves the hands while nothing runs, as when a machine sleeps: what fell due meanwhile fires late. */
  sleep(ms: number): void {
    this.#now += ms
  }

  /** Fires what is due, and nothing that this sets. */
  fire(): void {
    for (const [id, { at, run }] of [...this.#timers]) {
      if (at > this.#now || !this.#timers.delete(id)) continue
      run()
    }
  }

  /** Moves the hands, firing every timer that falls due on the way, and lets what they started settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      await settled()
      const due = [...this.#timers]
        .filter(([, timer]) => timer.at <= end)
        .sort(([a, x], [b, y]) => x.at - y.at || a - b)[0]
      if (!due) break
      this.#timers.delete(due[0])
      this.#now = Math.max(this.#now, due[1].at)
      due[1].run()
    }
    this.#now = end
    await settled()
  }
}

/** Lets every promise that can be fulfilled without input from outside be fulfilled. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
}
