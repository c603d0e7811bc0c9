/** Waits for a state that something else brings about, and says when it may have. */

export interface Changes {
  /** Looks whether what is waited for has come. */
  readonly changed: () => void
  /** Fulfilled when it is so, now or after a change. */
  until(satisfied: () => boolean): Promise<void>
}

export function changes(): Changes {
  const waiting = new Set<() => void>()
  return {
    changed() {
      for (const check of waiting) check()
    },
    until: (satisfied) =>
      new Promise((resolve) => {
        const check = () => {
          if (!satisfied()) return
          waiting.delete(check)
          resolve()
        }
        waiting.add(check)
        check()
      }),
  }
}
