/** The questions of the history as SQL: what both databases are asked in the same words, and what each has of its own. */

import { type CompiledQuery, type Kysely, sql } from 'kysely'
import type { Cursor } from '../../history/types.ts'
import type { UserId } from '../../ports.ts'
import type { Dialect, Query } from './database.ts'
import { postgresLists } from './postgres/lists.ts'
import { keyIs } from './sql-writer.ts'
import { sqliteLists } from './sqlite/lists.ts'
import { CALL_COLUMNS, type Tables } from './tables.ts'

export function queriesIn(db: Kysely<Tables>, dialect: Dialect) {
  const { upkeep, ...lists } = dialect === 'sqlite' ? sqliteLists : postgresLists(db)
  return {
    ...lists,

    markRead(user: UserId, until: number): CompiledQuery {
      return db
        .insertInto('call_readers')
        .values({ user_id: user, missed_until: until })
        .onConflict((conflict) =>
          conflict
            .column('user_id')
            .doUpdateSet({ missed_until: until })
            .where('call_readers.missed_until', '<', until),
        )
        .compile()
    },

    /** Every call behind a key, the earliest first. */
    all(from: number | undefined, before: number | undefined, behind: Cursor | undefined, size: number): CompiledQuery {
      let found = db.selectFrom('calls').select(CALL_COLUMNS)
      if (from !== undefined && behind === undefined) found = found.where('ended_at', '>=', from)
      if (before !== undefined) found = found.where('ended_at', '<', before)
      if (behind) found = found.where(keyIs('>', behind))
      return found.orderBy('ended_at').orderBy('call_id').limit(size).compile()
    },

    /** Takes a user out of a call whose list of members is still the one that is given. */
    forget(user: UserId, call: Cursor, members: string | null, withoutThem: string | null): Query[] {
      const taken = db
        .updateTable('calls')
        .set({
          caller: sql<string>`case when caller = ${user} then '' else caller end`,
          caller_name: sql<string | null>`case when caller = ${user} then null else caller_name end`,
          callee: sql<string>`case when callee = ${user} then '' else callee end`,
          callee_name: sql<string | null>`case when callee = ${user} then null else callee_name end`,
          missed: sql<number>`case when callee = ${user} then 0 else missed end`,
          transferred_by: sql<string | null>`case when transferred_by = ${user} then null else transferred_by end`,
          members: withoutThem,
        })
        .where('ended_at', '=', call.endedAt)
        .where('call_id', '=', call.callId)
        .where('members', members === null ? 'is' : '=', members)
      const membership = db
        .deleteFrom('call_members')
        .where('ended_at', '=', call.endedAt)
        .where('call_id', '=', call.callId)
        .where('user_id', '=', user)
      const abandoned = db
        .deleteFrom('calls')
        .where('ended_at', '=', call.endedAt)
        .where('call_id', '=', call.callId)
        .where('caller', '=', '')
        .where('callee', '=', '')
        .where(({ not, exists, selectFrom }) =>
          not(
            exists(
              selectFrom('call_members')
                .select('user_id')
                .where('ended_at', '=', call.endedAt)
                .where('call_id', '=', call.callId),
            ),
          ),
        )
      return [
        ...upkeep.beforeChange(call),
        { ...taken.compile(), mustChange: true },
        membership.compile(),
        abandoned.compile(),
        ...upkeep.afterChange(call),
      ]
    },

    forgetReader(user: UserId): CompiledQuery {
      return db.deleteFrom('call_readers').where('user_id', '=', user).compile()
    },

    /** From now on; somebody may be forgotten again. */
    markForgotten(digest: string, until: number): CompiledQuery {
      return db
        .insertInto('forgotten')
        .values({ digest, until })
        .onConflict((conflict) => conflict.column('digest').doUpdateSet({ until }).where('forgotten.until', '<', until))
        .compile()
    },

    forgotten(digests: readonly string[]): CompiledQuery {
      return db.selectFrom('forgotten').selectAll().where('digest', 'in', digests).compile()
    },

    /** Members first: they are found by the calls. Nobody needs to know any more who was forgotten before. */
    deleteBefore(endedAt: number, atMost: number): Query[] {
      const marks = db.deleteFrom('forgotten').where('until', '<', endedAt).compile()
      const old = db
        .selectFrom('calls')
        .select(['ended_at', 'call_id'])
        .where('ended_at', '<', endedAt)
        .orderBy('ended_at')
        .orderBy('call_id')
        .limit(atMost)
      const calls = (['call_members', 'calls'] as const).map((table) =>
        db
          .deleteFrom(table as 'calls')
          .where(({ refTuple }) => sql<boolean>`${refTuple('ended_at', 'call_id')} in (${old})`)
          .compile(),
      )
      return [marks, ...upkeep.beforeDelete(endedAt, atMost), ...calls]
    },
  }
}

export type Queries = ReturnType<typeof queriesIn>
