/**
 * Wildcards in the name of a topic that is subscribed to, as clients of other brokers write them: names are words with
 * dots or slashes between, `*` stands for one word, and at the end `#` (as RabbitMQ has it), `>` (ActiveMQ) or `**`
 * (Spring) for any number of them, none too. Knows nothing of who may subscribe to what.
 *
 * Matching takes a step per word and no more: there is nothing to try again, whatever a client makes up.
 */

const REST: ReadonlySet<string> = new Set(['#', '>', '**'])

/** More different patterns than this are not held: each one costs a look at every message. */
const MOST_PATTERNS = 1000

interface Pattern<T> {
  readonly words: readonly string[]
  readonly listeners: Set<T>
}

/** Whether one of the words is a wildcard. A star within a word is a character like others. */
export function hasWildcard(destination: string): boolean {
  return wordsOf(destination).some((word) => word === '*' || REST.has(word))
}

/** What is wrong with these wildcards; undefined when nothing is. */
export function wildcardFault(destination: string): string | undefined {
  const words = wordsOf(destination)
  const rest = words.find((word, i) => REST.has(word) && i < words.length - 1)
  return rest === undefined ? undefined : `${rest} may only be the last word; * stands for one word`
}

/** Pattern → listeners. */
export class Wildcards<T> {
  readonly #patterns = new Map<string, Pattern<T>>()

  /** False when there are too many patterns already. */
  add(pattern: string, listener: T): boolean {
    const known = this.#patterns.get(pattern)
    if (known === undefined && this.#patterns.size >= MOST_PATTERNS) return false
    if (known) known.listeners.add(listener)
    else this.#patterns.set(pattern, { words: wordsOf(pattern), listeners: new Set([listener]) })
    return true
  }

  remove(pattern: string, listener: T): void {
    const known = this.#patterns.get(pattern)
    if (known?.listeners.delete(listener) && known.listeners.size === 0) this.#patterns.delete(pattern)
  }

  /** Whom a message to this destination concerns, once for each pattern. */
  listening(destination: string): readonly T[] {
    if (this.#patterns.size === 0) return []
    const words = wordsOf(destination)
    const found: T[] = []
    for (const { words: pattern, listeners } of this.#patterns.values())
      if (matches(pattern, words)) found.push(...listeners)
    return found
  }
}

function wordsOf(destination: string): readonly string[] {
  return destination.split(/[./]/)
}

function matches(pattern: readonly string[], words: readonly string[]): boolean {
  const open = REST.has(pattern.at(-1) as string)
  const fixed = open ? pattern.length - 1 : pattern.length
  if (open ? words.length < fixed : words.length !== fixed) return false
  for (let i = 0; i < fixed; i++) if (pattern[i] !== '*' && pattern[i] !== words[i]) return false
  return true
}
