/** What the broker's process and the relay's process say to each other, as JSON over the channel between them. */

import type { RelaySettings } from './options.ts'
import type { RelayStats } from './server.ts'

export type ToChild =
  /** The answer to `ready`. The secrets travel here, and not where `ps` or /proc would show them. */
  | { readonly type: 'start'; readonly settings: RelaySettings; readonly reportEveryMs: number }
  /** Answered with `alive` by a child whose event loop still turns. */
  | { readonly type: 'ask' }
  | { readonly type: 'stop' }

export type FromChild =
  /** The first message: the child listens to us. What is sent to a module that is still loading would be lost. */
  | { readonly type: 'ready' }
  /**
   * `port` for UDP and TCP. `tlsPort` where it was told to listen for TLS, and has a certificate: without a usable one
   * it starts nevertheless, and says all this again when it listens for TLS as well.
   */
  | { readonly type: 'listening'; readonly port: number; readonly tlsPort?: number }
  | { readonly type: 'alive' }
  /** Whenever a certificate was loaded, the first one before a `tlsPort` is told. `validTo` as in ISO 8601. */
  | { readonly type: 'certificate'; readonly validTo: string }
  /** The last message of a child that cannot do its work. */
  | { readonly type: 'failed'; readonly reason: string }
  | { readonly type: 'stats'; readonly stats: RelayStats }
  /** Something that should never happen has been survived, or a certificate cannot be used. */
  | { readonly type: 'trouble'; readonly reason: string }
