/**
 * Lists of calls in SQLite: an inverted index (FTS5, https://www.sqlite.org/fts5.html) in which each call has words for
 * everybody whose call it is. FTS5 writes what is new beside what is there, and merges later; an ordinary index would
 * change a page anywhere in the file for each user of each call.
 *
 * The key of a call is the millisecond of its end and its place among the calls of that millisecond, in one number: so
 * the order of the index and of the table is that of the lists, but for calls of the same millisecond, which are put in
 * the order of their ids when they are found.
 */

import type { CallType } from '../../../calls/types.ts'
import type { HistoryFilter } from '../../../history/types.ts'
import type { UserId } from '../../../ports.ts'
import type { Query, SqlValue } from '../database.ts'
import { boundsOf, type Lists } from '../lists.ts'
import { CALL_COLUMNS } from '../tables.ts'

const PLACE_BITS = 20

/** In the year 2248: a key has 63 bits. One less than fits, since a page asks for the next one too. */
const LAST_MOMENT = 2 ** (63 - PLACE_BITS) - 2

/** How words begin: with what a user was in the call, of its type where a list may ask for that ... */
const MADE = 'o'
const GOT = 'i'
const MISSED = 'm'
/** ... or in any role and type, ... */
const IN = 'u'
const ARRANGED = 't'
/** ... or with this, and the rest is the id of the call. */
const CALLED = 'c'

const TYPE_LETTERS: Readonly<Record<CallType, string>> = { AUDIO: 'A', VIDEO: 'V' }

/** Ids in hexadecimal: words have letters and digits only, and whatever is in an id is not taken for anything else. */
const WORDS =
  `'${CALLED}' || hex(c.call_id)` +
  ` || iif(c.caller = '', '', ' ${IN}' || hex(c.caller) || ' ${MADE}' || substr(c.type, 1, 1) || hex(c.caller))` +
  ` || iif(c.callee = '', '', ${asked('c.callee', 'c.missed')})` +
  ` || iif(c.transferred_by is null, '', ' ${ARRANGED}' || hex(c.transferred_by))` +
  ` || iif(c.members is null, '', coalesce((select group_concat(${asked('m.user_id', 'm.missed')}, '') ` +
  "from call_members as m where m.ended_at = c.ended_at and m.call_id = c.call_id), ''))"

function asked(user: string, missed: string): string {
  const rest = `substr(c.type, 1, 1) || hex(${user})`
  return `' ${IN}' || hex(${user}) || ' ${GOT}' || ${rest} || iif(${missed}, ' ${MISSED}' || ${rest}, '')`
}

/** The first key of a millisecond. */
export const keyOf = (moment: string) => `(${moment} << ${PLACE_BITS})`

export const momentOf = (key: string) => `(${key} >> ${PLACE_BITS})`

/** As a value of an insert into `calls`: the key of a call that ended at ?1, behind those that are there. */
export const NEXT_KEY =
  `(select coalesce(max(key) + 1, ${keyOf('?1')}) from calls ` +
  `where key >= ${keyOf('?1')} and key < ${keyOf('(?1 + 1)')})`

/** What {@link LIST_CALLS} knows a call by, beside its end: numbers have room for both, but not for a key. */
export const PLACE = `key & ${2 ** PLACE_BITS - 1}`

const LIST = `insert into lists (rowid, words) select c.key, ${WORDS} from`

/** Takes in the calls of a JSON list of pairs, the end and the place; one statement, since each one writes to the index. */
export const LIST_CALLS =
  `${LIST} json_each(?1) as j ` +
  `cross join calls as c on c.key = ${keyOf('(j.value ->> 0)')} | j.value ->> 1 order by 1`

/**
 * Takes in every call, when there is none in it yet. Whoever changes what the words are has to add a migration that makes
 * the index anew.
 */
export const LIST_ALL = `${LIST} calls as c order by 1`

const COLUMNS = CALL_COLUMNS.map((column) => `c.${column}`).join(', ')

/** Calls with the words ?1, by their keys. */
const hits = (from: string, before: string) => `lists where lists match ?1 and rowid >= ${from} and rowid < ${before}`

/** The key of one of those, counted from the latest; null when there are not so many. */
const nth = (n: string, from: string, before: string) =>
  `(select rowid from ${hits(from, before)} order by rowid desc limit 1 offset ${n})`

/** All those, as rows. Whatever comes first is looked up last. */
const rowsOf = (found: string) =>
  `select ${COLUMNS} from (select rowid as key from ${found}) as h cross join calls as c on c.key = h.key`

const LATEST_FIRST = 'order by c.ended_at desc, c.call_id desc'

const FROM = keyOf('?2')
const BEFORE = keyOf('?3')

/**
 * ?1 words, ?2 from, ?3 and ?4 a cursor, ?5 size. All calls down to the millisecond with which the page is full, and of
 * them the page.
 */
const PAGE =
  rowsOf(hits(keyOf(momentOf(`coalesce(${nth('?5 - 1', FROM, BEFORE)}, ${FROM})`)), keyOf('(?3 + 1)'))) +
  ` where (c.ended_at, c.call_id) < (?3, ?4) ${LATEST_FIRST} limit ?5`

const FIRST = '(select first from edges)'
const BEHIND_FIRST = keyOf(`(${momentOf(FIRST)} + 1)`)

/** ?1 words, ?2 from, ?3 before, ?4 size, ?5 skip. Of its first millisecond, what is on the pages before is left out. */
const PAGE_BY_NUMBER =
  `with edges as materialized (select coalesce(${nth('?5', FROM, BEFORE)}, -1) as first, ` +
  `coalesce(${nth('?4 + ?5 - 1', FROM, BEFORE)}, ${FROM}) as last) ` +
  rowsOf(hits(keyOf(momentOf('(select last from edges)')), BEHIND_FIRST)) +
  ` ${LATEST_FIRST} limit ?4 offset (select count(*) from ${hits(`${FIRST} + 1`, BEHIND_FIRST)})`

const FIND = rowsOf('lists where lists match ?1 order by rowid desc limit 1')

const countOf = (found: string, most: string) => `select count(*) as count from (select 1 from ${found} limit ${most})`

const COUNT = countOf(hits(FROM, BEFORE), '?4')

const SEEN_UNTIL = `coalesce((select min(missed_until, ${LAST_MOMENT}) from call_readers where user_id = ?2), -1)`

/** ?1 words, ?2 the user, ?3 the most. */
const UNREAD = countOf(`lists where lists match ?1 and rowid >= ${keyOf(`(${SEEN_UNTIL} + 1)`)}`, '?3')

/** ?1 words, ?2 until, ?3 the most. */
const NAMING = rowsOf(`lists where lists match ?1 and rowid < ${keyOf('(?2 + 1)')} limit ?3`)

/** ?1 before, ?2 the most: those that are deleted next. */
const UNLIST_OLDEST =
  `delete from lists where rowid in (select c.key from calls as c where c.ended_at < ?1 ` +
  'order by c.ended_at, c.call_id limit ?2)'

const UNLIST = `delete from lists where rowid = (select c.key from calls as c where c.ended_at = ?1 and c.call_id = ?2)`

/** ?1 and ?2: the key of a call that is not in it, and is there. */
export const LIST_AGAIN = `${LIST} calls as c where c.ended_at = ?1 and c.call_id = ?2`

const TYPES = Object.values(TYPE_LETTERS)

const hexOf = (id: string) => Buffer.from(id).toString('hex')

const anyOf = (words: readonly string[]) => words.join(' OR ')

const ROLES = { missed: [MISSED], incoming: [GOT], outgoing: [MADE], all: [MADE, GOT] }

/** The words of a list; most lists are of every role and type, and have a word of their own. */
function listed(user: UserId, { only, type }: HistoryFilter): string {
  if (only === undefined && type === undefined) return `${IN}${hexOf(user)}`
  const types = type === undefined ? TYPES : [TYPE_LETTERS[type]]
  return anyOf(ROLES[only ?? 'all'].flatMap((role) => types.map((letter) => `${role}${letter}${hexOf(user)}`)))
}

/** A bound of ends as one that keys have. */
const moment = (bound: number) => Math.min(Math.max(Math.ceil(bound), 0), LAST_MOMENT)

const query = (sql: string, ...parameters: readonly SqlValue[]): Query => ({ sql, parameters })

export const sqliteLists: Lists = {
  page(user, filter, size, after, skip) {
    const { from, endedAt, callId } = boundsOf(filter, after)
    const [words, begin, end] = [listed(user, filter), moment(from), moment(endedAt)]
    return skip === 0
      ? query(PAGE, words, begin, end, callId, size)
      : query(PAGE_BY_NUMBER, words, begin, end, size, skip)
  },

  find: (callId) => query(FIND, `${CALLED}${hexOf(callId)}`),

  count(user, filter, atMost) {
    const { from, endedAt } = boundsOf(filter)
    return query(COUNT, listed(user, filter), moment(from), moment(endedAt), atMost)
  },

  unread: (user, atMost) => query(UNREAD, listed(user, { only: 'missed' }), user, atMost),

  naming(user, until, atMost) {
    const words = anyOf([IN, ARRANGED].map((role) => `${role}${hexOf(user)}`))
    return query(NAMING, words, moment(until), atMost)
  },

  upkeep: {
    beforeDelete: (endedAt, atMost) => [query(UNLIST_OLDEST, endedAt, atMost)],
    beforeChange: ({ endedAt, callId }) => [query(UNLIST, endedAt, callId)],
    afterChange: ({ endedAt, callId }) => [query(LIST_AGAIN, endedAt, callId)],
  },
}
