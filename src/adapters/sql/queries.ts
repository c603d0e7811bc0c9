/**
 * The questions of the history as SQL. A user's list is merged from ranges of indexes: the calls they made, those they
 * were called with, and the rooms they were asked into, of each type. Each range begins where the page begins and is
 * read no further than the page needs, so that the size of a list does not matter, nor how few of it a filter leaves.
 */

import { type Compilable, type CompiledQuery, type Kysely, type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import type { CallId, CallType } from '../../calls/types.ts'
import type { Cursor, HistoryFilter } from '../../history/types.ts'
import type { UserId } from '../../ports.ts'
import type { Dialect, Query } from './database.ts'
import { CALL_COLUMNS, type CallsTable, type Tables } from './tables.ts'

const TYPES: readonly CallType[] = ['AUDIO', 'VIDEO']

/** Before and after every call. */
const EVER = Number.MIN_SAFE_INTEGER
const NEVER = Number.MAX_SAFE_INTEGER

/** The column that says whose range of which index it is. */
type Side = 'caller' | 'callee' | 'user_id'

type Keys = SelectQueryBuilder<Tables, 'calls', { ended_at: number; call_id: string }>
type Rows = SelectQueryBuilder<Tables, 'calls', CallsTable>

type Filter = Pick<HistoryFilter, 'only' | 'type'>

/** What changes from one question to the next of the same kind. */
interface Values {
  readonly user?: UserId
  readonly from?: number
  readonly endedAt?: number
  readonly callId?: CallId
  readonly size?: number
  readonly skip?: number
  /** How far each range must be read. */
  readonly reach?: number
}

/** Where a value goes in a query that is written once. */
class Place {
  readonly name: keyof Values

  constructor(name: keyof Values) {
    this.name = name
  }
}

/** For Kysely it is a value like any other. */
const placeOf = (name: keyof Values): unknown => new Place(name)

const USER = placeOf('user') as UserId
const FROM = placeOf('from') as number
const SIZE = placeOf('size') as number
const SKIP = placeOf('skip') as number
const REACH = placeOf('reach') as number
/** What is listed lies behind this key. */
const BEHIND: Cursor = { endedAt: placeOf('endedAt') as number, callId: placeOf('callId') as CallId }

export function queriesIn(db: Kysely<Tables>, dialect: Dialect) {
  const written = new Map<string, CompiledQuery>()

  /** Writing a query takes longer than asking it, so each kind is written once, with places for its values. */
  function query(kind: string, values: Values, write: () => Pick<Compilable, 'compile'>): Query {
    let found = written.get(kind)
    if (!found) {
      found = write().compile()
      written.set(kind, found)
    }
    const parameters = found.parameters.map((each) => (each instanceof Place ? values[each.name] : each))
    return { sql: found.sql, parameters, recurring: true }
  }

  /** One range, whatever is to be read of it. */
  function range(side: Side, type: CallType, missed: boolean, from: number | RawBuilder<number>) {
    // both tables have the columns that are asked for here
    const table = (side === 'user_id' ? 'call_members' : 'calls') as 'calls'
    const found = db
      .selectFrom(table)
      .where(sql.ref<string>(side), '=', USER)
      .where('type', '=', sql.lit(type))
      .where('ended_at', '>=', from)
      .where(keyOf(BEHIND, '<'))
    // not as a parameter: the database must see that the partial index will do
    return { side, found: missed ? found.where('missed', '=', sql.lit(1)) : found }
  }

  /** The ranges that a filter asks for. No call is in two of them. */
  function ranges({ only, type }: Filter, from: number | RawBuilder<number> = FROM) {
    const sides: Side[] = only === 'outgoing' ? ['caller'] : ['callee', 'user_id']
    if (only === undefined) sides.unshift('caller')
    return sides.flatMap((side) =>
      (type === undefined ? TYPES : [type]).map((each) => range(side, each, only === 'missed', from)),
    )
  }

  const keysIn = (filter: Filter, from?: RawBuilder<number>): Keys[] =>
    ranges(filter, from).map(({ found }) => found.select(['ended_at', 'call_id']))

  /**
   * The keys of a list in order. SQLite merges the ranges, and reads each as far as it must. PostgreSQL would rather read
   * and sort everything of somebody of whom it expects little, and is told how far it has to read.
   */
  function orderedKeys(filter: Filter): Keys[] {
    const keys = keysIn(filter)
    return dialect === 'sqlite' ? keys : keys.map((each, n) => subquery(firstOf(each), n))
  }

  /** In no order. */
  function page(filter: Filter): Rows {
    return rowsOf(sizedPart(allOf(orderedKeys(filter))))
  }

  /**
   * The first page, in no order, for PostgreSQL: each range brings its rows along. To look for them by their keys takes
   * longer than to read some that are not needed, unless the page is far behind the beginning.
   */
  function firstPage(filter: Filter): Rows {
    const rows = ranges(filter).map(({ side, found }, n) =>
      side === 'user_id'
        ? rowsOf(firstOf(found.select(['ended_at', 'call_id'])))
        : subquery(firstOf(found.select(CALL_COLUMNS)), n),
    )
    return sizedPart(allOf(rows))
  }

  const rowsOf = (keys: Keys): Rows =>
    db
      .selectFrom(keys.as('k'))
      .innerJoin('calls as c', (join) =>
        join.onRef('c.ended_at', '=', 'k.ended_at').onRef('c.call_id', '=', 'k.call_id'),
      )
      .select(CALL_COLUMNS.map((column) => `c.${column}` as const)) as unknown as Rows

  return {
    /** In no order. */
    page(user: UserId, filter: HistoryFilter, size: number, after: Cursor | undefined, skip: number): Query {
      const values = { user, ...boundsOf(filter, after), size, skip, reach: size + skip }
      const { only, type } = filter
      if (dialect === 'postgres' && skip === 0)
        return query(`first page ${only} ${type}`, values, () => firstPage(filter))
      return query(`page ${only} ${type}`, values, () => page(filter))
    },

    /** The last one that was called so: an id that comes again after a while is another call. */
    find(callId: CallId): Query {
      return query('find', { callId }, () =>
        db
          .selectFrom('calls')
          .select(CALL_COLUMNS)
          .where('call_id', '=', BEHIND.callId)
          .orderBy('ended_at', 'desc')
          .limit(sql.lit(1)),
      )
    },

    count(user: UserId, filter: HistoryFilter, atMost: number): Query {
      const values = { user, ...boundsOf(filter), size: atMost }
      return query(`count ${filter.only} ${filter.type}`, values, () => countOf(keysIn(filter)))
    },

    unread(user: UserId, atMost: number): Query {
      const values = { user, ...boundsOf({}), size: atMost }
      return query('unread', values, () => {
        const seen = sql`coalesce((select missed_until from call_readers where user_id = ${USER}), -1)`
        return countOf(keysIn({ only: 'missed' }, sql<number>`${seen} + 1`))
      })
    },

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
      if (behind) found = found.where(keyOf(behind, '>'))
      return found.orderBy('ended_at').orderBy('call_id').limit(size).compile()
    },

    /** Calls until then that name the user somewhere. */
    naming(user: UserId, until: number, atMost: number): CompiledQuery {
      const named = (column: 'caller' | 'callee' | 'transferred_by') =>
        db
          .selectFrom('calls')
          .select(['ended_at', 'call_id'])
          .where(column, '=', user)
          .where('ended_at', '<=', until)
          .limit(atMost)
      // both tables have the columns that are asked for here
      const member = db
        .selectFrom('call_members' as 'calls')
        .select(['ended_at', 'call_id'])
        .where(sql.ref<string>('user_id'), '=', user)
        .where('ended_at', '<=', until)
        .limit(atMost)
      const keysOf = (query: ReturnType<typeof named>, n: number) => db.selectFrom(query.as(`r${n}`)).selectAll()
      const found = keysOf(named('caller'), 0)
        .union(keysOf(named('callee'), 1))
        .union(keysOf(named('transferred_by'), 2))
        .union(keysOf(member, 3))
      return db
        .selectFrom(db.selectFrom(found.as('u')).selectAll().limit(atMost).as('k'))
        .innerJoin('calls as c', (join) =>
          join.onRef('c.ended_at', '=', 'k.ended_at').onRef('c.call_id', '=', 'k.call_id'),
        )
        .select(CALL_COLUMNS.map((column) => `c.${column}` as const))
        .compile()
    },

    /** Takes a user out of a call whose list of members is still the one that is given. */
    forget(user: UserId, call: Cursor, members: string | null, withoutThem: string | null) {
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
      return [{ ...taken.compile(), mustChange: true }, membership.compile(), abandoned.compile()]
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
    deleteBefore(endedAt: number, atMost: number): CompiledQuery[] {
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
      return [marks, ...calls]
    },
  }

  /** A part of a union with an order of its own. */
  function subquery<Q extends Keys | Rows>(part: Q, n: number): Q {
    return db.selectFrom((part as Keys).as(`r${n}`)).selectAll() as unknown as Q
  }

  function countOf(counted: readonly Keys[]) {
    return db.selectFrom(allOf(counted).limit(SIZE).as('u')).select(({ fn }) => fn.countAll<number>().as('count'))
  }
}

export type Queries = ReturnType<typeof queriesIn>

const allOf = <Q extends Keys | Rows>([first, ...others]: readonly Q[]): Q =>
  others.reduce((all, other) => (all as Keys).unionAll(other as Keys) as Q, first!)

/** As far as a range must be read. */
const firstOf = <Q extends Keys | Rows>(part: Q): Q => latestOf(part).limit(REACH) as Q

const sizedPart = <Q extends Keys | Rows>(all: Q): Q => latestOf(all).limit(SIZE).offset(SKIP) as Q

const latestOf = (all: Keys | Rows) => (all as Keys).orderBy('ended_at', 'desc').orderBy('call_id', 'desc')

/** From when on, and behind what: a cursor, or the end of the time that is asked for, whichever comes first. */
function boundsOf({ from = EVER, before = NEVER }: HistoryFilter, after?: Cursor) {
  // nothing comes before the empty text
  const { endedAt, callId } = after && after.endedAt < before ? after : { endedAt: before, callId: '' }
  return { from, endedAt, callId }
}

const keyOf = ({ endedAt, callId }: Cursor, side: '<' | '>') =>
  sql<boolean>`(ended_at, call_id) ${sql.raw(side)} (${endedAt}, ${callId})`
