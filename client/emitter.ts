/** Typed listeners: kinds and what each is told are the keys and values of `E`. */

export class Emitter<E extends object> {
  readonly #listeners = new Map<keyof E, Set<(event: never) => void>>()

  /** Returns what takes the listener off again. */
  on<K extends keyof E>(kind: K, listener: (event: E[K]) => void): () => void {
    const listeners = this.#listeners.get(kind) ?? new Set()
    this.#listeners.set(kind, listeners.add(listener))
    return () => void listeners.delete(listener)
  }

  hasListeners(kind: keyof E): boolean {
    return (this.#listeners.get(kind)?.size ?? 0) > 0
  }

  /** A listener that throws is its owner's fault: reported as an uncaught error, the others are told all the same. */
  emit<K extends keyof E>(kind: K, event: E[K]): void {
    for (const listener of [...(this.#listeners.get(kind) ?? [])]) {
      try {
        ;(listener as (event: E[K]) => void)(event)
      } catch (error) {
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
}
