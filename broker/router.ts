/**
 * Which destinations exist, and what may be done with them. Pure: an address in, an answer out.
 * Knows nothing of sessions; the names under `/user/…` are always the asking user's own.
 */

import { forbidden, notFound } from './errors.ts'
import type { Destinations, Handler, Refused } from './types.ts'
import { hasWildcard, wildcardFault } from './wildcards.ts'

/** Where refusals are told. It exists whether or not the operator's table names it. */
export const ERRORS_QUEUE = '/user/queue/errors'

export type SendRoute =
  | { readonly to: 'handler'; readonly handler: Handler }
  /** Every subscriber, the sender too. */
  | { readonly to: 'open-topic' }
  /** Exactly one subscriber. */
  | { readonly to: 'open-queue' }
  | { readonly to: 'nowhere'; readonly refused: Refused }

export type SubscribeRoute =
  /** The session's own `/user/queue/…`. */
  | { readonly from: 'user' }
  /** Published to by the server, or (open) by anybody. */
  | { readonly from: 'topic' }
  | { readonly from: 'open-queue' }
  | { readonly from: 'nowhere'; readonly refused: Refused }

export class Router {
  readonly #handlers: ReadonlyMap<string, Handler>
  readonly #user: ReadonlySet<string>
  readonly #topics: ReadonlySet<string>
  readonly #open: readonly RegExp[]

  /** Throws when an open pattern does not begin with `/topic/` or `/queue/`: a fault of the configuration. */
  constructor({ handlers, user, topics, open }: Destinations) {
    this.#handlers = new Map(Object.entries(handlers))
    this.#user = new Set([...user, ERRORS_QUEUE])
    this.#topics = new Set(topics)
    this.#open = open.map(toRegExp)
  }

  send(destination: string): SendRoute {
    const handler = this.#handlers.get(destination)
    if (handler) return { to: 'handler', handler }
    const refused = trick(destination)
    if (refused) return { to: 'nowhere', refused }
    if (this.#isOpen(destination)) return { to: destination.startsWith('/topic/') ? 'open-topic' : 'open-queue' }
    if (/^\/(topic|queue|user)\//.test(destination))
      return { to: 'nowhere', refused: forbidden(`${destination}: clients may not SEND there`) }
    return { to: 'nowhere', refused: notFound(`${destination}: no such destination to SEND to`) }
  }

  subscribe(destination: string): SubscribeRoute {
    if (this.#user.has(destination)) return { from: 'user' }
    if (this.#topics.has(destination)) return { from: 'topic' }
    const refused = trick(destination)
    if (refused) return { from: 'nowhere', refused }
    if (this.#isOpen(destination)) return toOpen(destination)
    if (destination.startsWith('/queue/') || /^\/user\/(?!queue\/)/.test(destination))
      return { from: 'nowhere', refused: forbidden(`${destination}: not yours to read; your own is /user/queue/…`) }
    return { from: 'nowhere', refused: notFound(`${destination}: no such destination to SUBSCRIBE to`) }
  }

  #isOpen(destination: string): boolean {
    return this.#open.some((pattern) => pattern.test(destination))
  }
}

/** Topics may be named with wildcards, queues not: whose would a message be? */
function toOpen(destination: string): SubscribeRoute {
  if (destination.startsWith('/topic/')) {
    const fault = wildcardFault(destination)
    return fault === undefined ? { from: 'topic' } : { from: 'nowhere', refused: forbidden(`${destination}: ${fault}`) }
  }
  return hasWildcard(destination)
    ? { from: 'nowhere', refused: forbidden(`${destination}: a queue is consumed by its name, without wildcards`) }
    : { from: 'open-queue' }
}

/** `*` stands for any characters. */
function toRegExp(pattern: string): RegExp {
  if (!/^\/(topic|queue)\/./.test(pattern))
    throw new Error(`open destination ${pattern}: must begin with /topic/ or /queue/`)
  const source = pattern.split('*').map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${source.join('.+')}$`, 's')
}

/**
 * Destinations are names, not paths: nothing resolves them. Those that would be another one if something did
 * are refused, so that no proxy, log or later code can be led astray.
 */
function trick(destination: string): Refused | undefined {
  const path = /\/\/|\/\.{1,2}(\/|$)|%2f|%2e|%5c|\\|\0/i.test(destination)
  return path ? forbidden(`${destination}: is a path, not a name`) : undefined
}
