/** What the server and the thread that has the SQLite file say to each other. */

import type { Query } from '../database.ts'
import type { CallRow } from '../rows.ts'

export type Work =
  | { readonly kind: 'open'; readonly migrations: readonly (readonly string[])[] }
  | { readonly kind: 'run'; readonly queries: readonly Query[] }
  | { readonly kind: 'write'; readonly rows: readonly CallRow[] }
  | { readonly kind: 'close' }

/** What became of it; a failure as data, since errors lose their fields between threads. */
export type Outcome = { readonly results: readonly Found[] } | { readonly failure: Failure }

/** A result of a query whose rows are a text of JSON: one text crosses between threads for a tenth of what rows cost. */
export interface Found {
  readonly rows: string
  readonly changed: number
}

export interface Failure {
  readonly kind: 'unavailable' | 'refused' | 'overtaken' | 'unfit'
  readonly reason: string
}

/** `until`: nobody waits for it any longer then, in milliseconds since the epoch. */
export type Question = Work & { readonly id: number; readonly until: number }

export type Answer = Outcome & { readonly id: number }
