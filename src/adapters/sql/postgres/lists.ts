/**
 * Lists of calls in PostgreSQL. A user's list is merged from ranges of indexes: the calls they made, those they were called
 * with, and the rooms they were asked into, of each type. Each range begins where the page begins and is read no further
 * than the page needs, so that the size of a list does not matter, nor how few of it a filter leaves.
 */

import { type Compilable, type CompiledQuery, type Kysely, type RawBuilder, type SelectQueryBuilder, sql } from 'kysely'
import type { CallId, CallType } from '../../../calls/types.ts'
import type { Cursor, HistoryFilter } from '../../../history/types.ts'
import type { UserId } from '../../../ports.ts'
import type { Query } from '../database.ts'
import { boundsOf, type Lists } from '../lists.ts'
import { keyIs } from '../sql-writer.ts'
import { CALL_COLUMNS, type CallsTable, type Tables } from '../tables.ts'

const TYPES: readonly CallType[] = ['AUDIO', 'VIDEO']

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

export function postgresLists(db: Kysely<Tables>): Lists {
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
      .where(keyIs('<', BEHIND))
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
   * The keys of a list in order, each range as far as it must be read: PostgreSQL would rather read and sort everything of
   * somebody of whom it expects little.
   */
  const orderedKeys = (filter: Filter): Keys[] => keysIn(filter).map((each, n) => subquery(firstOf(each), n))

  /** In no order. */
  function page(filter: Filter): Rows {
    return rowsOf(sizedPart(allOf(orderedKeys(filter))))
  }

  /**
   * The first page, in no order: each range brings its rows along. To look for them by their keys takes longer than to
   * read some that are not needed, unless the page is far behind the beginning.
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
    page(user: UserId, filter: HistoryFilter, size: number, after: Cursor | undefined, skip: number): Query {
      const values = { user, ...boundsOf(filter, after), size, skip, reach: size + skip }
      const { only, type } = filter
      if (skip === 0) return query(`first page ${only} ${type}`, values, () => firstPage(filter))
      return query(`page ${only} ${type}`, values, () => page(filter))
    },

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

    // its indexes are kept by itself
    upkeep: { beforeDelete: () => [], beforeChange: () => [], afterChange: () => [] },
  }

  /** A part of a union with an order of its own. */
  function subquery<Q extends Keys | Rows>(part: Q, n: number): Q {
    return db.selectFrom((part as Keys).as(`r${n}`)).selectAll() as unknown as Q
  }

  function countOf(counted: readonly Keys[]) {
    return db.selectFrom(allOf(counted).limit(SIZE).as('u')).select(({ fn }) => fn.countAll<number>().as('count'))
  }
}

const allOf = <Q extends Keys | Rows>([first, ...others]: readonly Q[]): Q =>
  others.reduce((all, other) => (all as Keys).unionAll(other as Keys) as Q, first!)

/** As far as a range must be read. */
const firstOf = <Q extends Keys | Rows>(part: Q): Q => latestOf(part).limit(REACH) as Q

const sizedPart = <Q extends Keys | Rows>(all: Q): Q => latestOf(all).limit(SIZE).offset(SKIP) as Q

const latestOf = (all: Keys | Rows) => (all as Keys).orderBy('ended_at', 'desc').orderBy('call_id', 'desc')
