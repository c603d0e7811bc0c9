/**
 * The questions of the history as SQL. A user's list is merged from ranges of indexes: the calls they made, those they
 * were called with, and the rooms they were asked into, of each type. Each range begins where the page begins and is
 * read no further than the page needs, so that the size of a list does not matter, nor how few of it a filter leaves.
 */

import { type CompiledQuery, type Kysely, type SelectQueryBuilder, sql } from 'kysely'
import type { CallId, CallType } from '../../calls/types.ts'
import type { Cursor, HistoryFilter } from '../../history/types.ts'
import type { UserId } from '../../ports.ts'
import type { Query } from './database.ts'
import type { Tables } from './tables.ts'

const TYPES: readonly CallType[] = ['AUDIO', 'VIDEO']

/** The column that says whose range of which index it is. */
type Side = 'caller' | 'callee' | 'user_id'

type Keys = SelectQueryBuilder<Tables, 'calls', { ended_at: number; call_id: string }>

/** Further narrowing of a range. */
interface Bounds {
  readonly from?: number | undefined
  readonly before?: number | undefined
  readonly after?: Cursor | undefined
  readonly since?: ReturnType<typeof sql<number>> | undefined
}

/** Where a value goes in a query that is written once. */
class Place {
  readonly name: keyof Values

  constructor(name: keyof Values) {
    this.name = name
  }
}

interface Values {
  readonly user: UserId
  readonly from: number | undefined
  readonly before: number | undefined
  readonly endedAt: number | undefined
  readonly callId: CallId | undefined
  readonly size: number
  readonly skip: number
  /** How far each range must be read. */
  readonly reach: number
}

/** For Kysely it is a value like any other. */
const placeOf = (name: keyof Values): unknown => new Place(name)

export function queriesIn(db: Kysely<Tables>) {
  const pages = new Map<string, CompiledQuery>()

  /** The keys of one range, the latest first, so many at most. */
  function range(side: Side, user: UserId, type: CallType, missed: boolean, bounds: Bounds, atMost: number): Keys {
    // both tables have the columns that are asked for here
    const table = (side === 'user_id' ? 'call_members' : 'calls') as 'calls'
    let keys = db
      .selectFrom(table)
      .select(['ended_at', 'call_id'])
      .where(sql.ref<string>(side), '=', user)
      .where('type', '=', type)
    // not as a parameter: the database must see that the partial index will do
    if (missed) keys = keys.where('missed', '=', sql.lit(1))
    if (bounds.from !== undefined) keys = keys.where('ended_at', '>=', bounds.from)
    if (bounds.before !== undefined) keys = keys.where('ended_at', '<', bounds.before)
    if (bounds.since !== undefined) keys = keys.where('ended_at', '>', bounds.since)
    if (bounds.after) keys = keys.where(keyOf(bounds.after, '<'))
    return keys.orderBy('ended_at', 'desc').orderBy('call_id', 'desc').limit(atMost)
  }

  /** The keys of all ranges that a filter asks for. No call is in two of them. */
  function keys(user: UserId, { only, type }: HistoryFilter, bounds: Bounds, atMost: number): Keys {
    const sides: Side[] = only === 'outgoing' ? ['caller'] : ['callee', 'user_id']
    if (only === undefined) sides.unshift('caller')
    const ranges = sides.flatMap((side) =>
      (type === undefined ? TYPES : [type]).map((each) => range(side, user, each, only === 'missed', bounds, atMost)),
    )
    const [first, ...others] = ranges.map((each, n) => db.selectFrom(each.as(`r${n}`)).selectAll())
    return others.reduce((all, other) => all.unionAll(other), first!) as unknown as Keys
  }

  /** Writing such a query takes longer than asking it, so each kind is written once, with places for its values. */
  function compilePage({ only, type, from, before }: HistoryFilter, behind: boolean): CompiledQuery {
    const user = placeOf('user') as UserId
    const bounds = {
      from: from === undefined ? undefined : (placeOf('from') as number),
      before: before === undefined ? undefined : (placeOf('before') as number),
      after: behind ? { endedAt: placeOf('endedAt') as number, callId: placeOf('callId') as CallId } : undefined,
    }
    const filter = { ...(only && { only }), ...(type && { type }) }
    const found = db
      .selectFrom(keys(user, filter, bounds, placeOf('reach') as number).as('u'))
      .selectAll()
      .orderBy('ended_at', 'desc')
      .orderBy('call_id', 'desc')
      .limit(placeOf('size') as number)
      .offset(placeOf('skip') as number)
    return db
      .selectFrom(found.as('k'))
      .innerJoin('calls as c', (join) =>
        join.onRef('c.ended_at', '=', 'k.ended_at').onRef('c.call_id', '=', 'k.call_id'),
      )
      .selectAll('c')
      .orderBy('c.ended_at', 'desc')
      .orderBy('c.call_id', 'desc')
      .compile()
  }

  return {
    page(user: UserId, filter: HistoryFilter, size: number, after: Cursor | undefined, skip: number): Query {
      const { only, type, from, before } = filter
      const shape = `${only} ${type} ${from !== undefined} ${before !== undefined} ${after !== undefined}`
      let page = pages.get(shape)
      if (!page) {
        page = compilePage(filter, after !== undefined)
        pages.set(shape, page)
      }
      const values: Values = {
        user,
        from,
        before,
        endedAt: after?.endedAt,
        callId: after?.callId,
        size,
        skip,
        reach: size + skip,
      }
      return {
        sql: page.sql,
        parameters: page.parameters.map((each) => (each instanceof Place ? values[each.name] : each)),
      }
    },

    /** The last one that was called so: an id that comes again after a while is another call. */
    find(callId: CallId): CompiledQuery {
      return db
        .selectFrom('calls')
        .selectAll()
        .where('call_id', '=', callId)
        .orderBy('ended_at', 'desc')
        .limit(1)
        .compile()
    },

    count(user: UserId, filter: HistoryFilter, atMost: number): CompiledQuery {
      return countOf(keys(user, filter, filter, atMost))
    },

    unread(user: UserId, atMost: number): CompiledQuery {
      const seen = sql<number>`coalesce((select missed_until from call_readers where user_id = ${user}), -1)`
      return countOf(keys(user, { only: 'missed' }, { since: seen }, atMost))
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
      let found = db.selectFrom('calls').selectAll()
      if (from !== undefined && behind === undefined) found = found.where('ended_at', '>=', from)
      if (before !== undefined) found = found.where('ended_at', '<', before)
      if (behind) found = found.where(keyOf(behind, '>'))
      return found.orderBy('ended_at').orderBy('call_id').limit(size).compile()
    },

    /** Calls that name the user somewhere. */
    naming(user: UserId, atMost: number): CompiledQuery {
      const named = (column: 'caller' | 'callee' | 'transferred_by') =>
        db.selectFrom('calls').select(['ended_at', 'call_id']).where(column, '=', user).limit(atMost)
      // both tables have the columns that are asked for here
      const member = db
        .selectFrom('call_members' as 'calls')
        .select(['ended_at', 'call_id'])
        .where(sql.ref<string>('user_id'), '=', user)
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
        .selectAll('c')
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

    /** Members first: they are found by the calls. */
    deleteBefore(endedAt: number, atMost: number): CompiledQuery[] {
      const old = db
        .selectFrom('calls')
        .select(['ended_at', 'call_id'])
        .where('ended_at', '<', endedAt)
        .orderBy('ended_at')
        .orderBy('call_id')
        .limit(atMost)
      return (['call_members', 'calls'] as const).map((table) =>
        db
          .deleteFrom(table as 'calls')
          .where(({ refTuple }) => sql<boolean>`${refTuple('ended_at', 'call_id')} in (${old})`)
          .compile(),
      )
    },
  }

  function countOf(counted: Keys): CompiledQuery {
    return db
      .selectFrom(counted.as('u'))
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .compile()
  }
}

export type Queries = ReturnType<typeof queriesIn>

const keyOf = ({ endedAt, callId }: Cursor, side: '<' | '>') =>
  sql<boolean>`(ended_at, call_id) ${sql.raw(side)} (${endedAt}, ${callId})`
