/**
 * Keys by time: a binary heap whose stale entries (the key was moved or deleted since) are skipped when they come up,
 * and swept out when they outnumber the others. Knows no clock.
 */

interface Entry {
  readonly at: number
  readonly key: string
}

export class Schedule {
  /** The one entry of each key that is not stale. */
  readonly #entries = new Map<string, Entry>()
  #heap: Entry[] = []

  get size(): number {
    return this.#entries.size
  }

  /** Each key has one time: the last one set. One that is no number never comes. */
  set(key: string, at: number): void {
    if (Number.isNaN(at)) {
      this.delete(key)
      return
    }
    if (this.#entries.get(key)?.at === at) return
    const entry = { at, key }
    this.#entries.set(key, entry)
    this.#push(entry)
    if (this.#heap.length > 2 * this.#entries.size + 64) this.#sweep()
  }

  delete(key: string): void {
    this.#entries.delete(key)
  }

  /** The earliest time of all. */
  next(): number | undefined {
    for (let first = this.#heap[0]; first; first = this.#heap[0]) {
      if (this.#entries.get(first.key) === first) return first.at
      this.#pop()
    }
    return undefined
  }

  /** Keys whose time is not later than `now`, the earliest first. They stay scheduled: only a later `set` or `delete` moves them. */
  due(now: number, atMost: number): string[] {
    const found: Entry[] = []
    for (let at = this.next(); at !== undefined && at <= now && found.length < atMost; at = this.next()) {
      const entry = this.#pop()
      if (entry) found.push(entry)
    }
    for (const entry of found) this.#push(entry)
    return found.map((entry) => entry.key)
  }

  #sweep(): void {
    this.#heap = [...this.#entries.values()].sort((a, b) => a.at - b.at)
  }

  #push(entry: Entry): void {
    const heap = this.#heap
    let place = heap.push(entry) - 1
    while (place > 0) {
      const above = (place - 1) >> 1
      const parent = heap[above]
      if (!parent || parent.at <= entry.at) break
      heap[place] = parent
      place = above
    }
    heap[place] = entry
  }

  #pop(): Entry | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last || heap.length === 0) return first
    let place = 0
    for (;;) {
      let below = 2 * place + 1
      const right = heap[below + 1]
      if (right && right.at < (heap[below]?.at ?? Number.POSITIVE_INFINITY)) below++
      const child = heap[below]
      if (!child || child.at >= last.at) break
      heap[place] = child
      place = below
    }
    heap[place] = last
    return first
  }
}
