/** What the server and the thread that has the SQLite file say to each other. */

import type { Query, Result } from '../database.ts'
import type { CallRow } from '../rows.ts'

export type Work =
  | { readonly kind: 'open'; readonly migrations: readonly (readonly string[])[] }
  | { readonly kind: 'run'; readonly queries: readonly Query[] }
  | { readonly kind: 'write'; readonly rows: readonly CallRow[] }
  | { readonly kind: 'close' }

/** What became of it; a failure as data, since errors lose their fields between threads. */
export type Outcome = { readonly results: readonly Result[] } | { readonly failure: Failure }

export interface Failure {
  readonly kind: 'unavailable' | 'refused' | 'overtaken' | 'unfit'
  readonly reason: string
}

/** `until`: nobody waits for it any longer then, in milliseconds since the epoch. */
export type Question = Work & { readonly id: number; readonly until: number }

export type Answer = Outcome & { readonly id: number }
