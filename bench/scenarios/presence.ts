/**
 * Who is online: everybody watches some contacts, while users come and go. Those who go lose their connection without a
 * word, as phones do; heart-beats are off, since `connect` measures them.
 */

import { performance } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { costOf, type Meter } from '../support/cpu.ts'
import { inBatches } from '../support/pairs.ts'
import { Peer, textMessage } from '../support/peer.ts'
import type { Scenario } from '../support/scenario.ts'
import { startCarillon, startRawRelay } from '../support/server.ts'
import { CALL_QUEUES, destinationOf, type Login, logIn, loginOf, sendOf } from '../support/stomp.ts'
import { below, timed } from '../support/target.ts'

const ONLINE = 10_000
/** Users who are away, so that whoever joins was really offline. */
const AWAY = 2000
const CONTACTS = 50
const JOINING_PER_SECOND = 100
/** Going offline is told after 5 s; by then as many come as go. */
const SETTLE_S = 7
const MEASURED_S = 20

/** PRESENCE_BATCH_MS of Carillon, and about the size of a report on one user. */
const BATCH_MS = 250
const REPORT_OCTETS = 180

const STATUS_TOPIC = '/topic/user/status'

export const presence: Scenario = {
  name: 'presence',
  title: () =>
    `${ONLINE.toLocaleString('en')} users online who watch ${CONTACTS} contacts each; per second ${JOINING_PER_SECOND} join and ${JOINING_PER_SECOND} leave`,
  async run({ profile, progress }) {
    const carillon = await startCarillon({ PRESENCE_SCOPE: 'watched' }, profile)
    progress(`${ONLINE} users`)
    const users = Array.from({ length: ONLINE + AWAY }, (_, n) => userOf(n))
    let messages = 0
    const arrives = async (n: number, watches: boolean) => {
      const { login, query } = users[n]!
      const peer = await logIn(carillon.url, login)
      peer.onMessage = () => void messages++
      if (watches) peer.send(query)
      return peer
    }
    let watching = false
    const people = await Crowd.gather((n) => arrives(n, watching))
    progress('users come and go, nobody watches')
    const unwatched = await people.comeAndGo(carillon)
    watching = true
    await watchAll(people.online, users)
    progress('users come and go, all watch')
    await people.comeAndGo(carillon, SETTLE_S)
    messages = 0
    const watched = await people.comeAndGo(carillon)
    const perSecond = messages / watched.elapsed
    await people.leave()
    await carillon.stop()
    const bare = await atRawRelay(perSecond, progress)

    const beside = (what: string, unit: string, value: number) => ({ what, unit, found: { carillon: [value] } })
    const percent = ({ cpuMicros, elapsed }: Cost) => cpuMicros / elapsed / 1e4
    const both = (what: string, ours: Cost, theirs: Cost) => ({
      what,
      unit: '% of a core',
      found: { carillon: [percent(ours)], raw: [percent(theirs)] },
    })
    const whole = both('server CPU', watched, bare.watched)
    return {
      rows: [
        whole,
        both('the same while nobody watches: connections and logins alone', unwatched, bare.unwatched),
        beside('messages to watchers', 'per s', perSecond),
        beside('joined', 'per s', watched.joined / watched.elapsed),
      ],
      merits: [whole],
      targets: [timed((row) => below(10, row), whole)],
    }
  },
}

/** Bare connections come and go as often, and as many messages of the size of a report are sent to them. */
async function atRawRelay(perSecond: number, progress: (text: string) => void) {
  const raw = await startRawRelay()
  progress(`${ONLINE} raw connections`)
  const address = raw.url.replace('http', 'ws')
  const crowd = await Crowd.gather(() => Peer.open(`${address}/fan/in`))
  progress('raw connections come and go')
  const unwatched = await crowd.comeAndGo(raw)
  progress('raw connections come and go, and hear as much')
  const teller = await Peer.open(`${address}/fan/${Math.round((perSecond * BATCH_MS) / 1000)}`)
  const report = textMessage('x'.repeat(REPORT_OCTETS))
  const timer = setInterval(() => teller.send(report), BATCH_MS)
  const watched = await crowd.comeAndGo(raw)
  clearInterval(timer)
  await teller.close()
  await crowd.leave()
  await raw.stop()
  return { unwatched, watched }
}

interface Cost {
  readonly cpuMicros: number
  readonly elapsed: number
  readonly joined: number
}

interface Member {
  readonly n: number
  readonly peer: Peer
}

/** People of whom always as many are online. */
class Crowd {
  readonly #online: Member[]
  readonly #away: number[]
  readonly #open: (n: number) => Promise<Peer>

  private constructor(online: Member[], open: (n: number) => Promise<Peer>) {
    this.#online = online
    this.#away = Array.from({ length: AWAY }, (_, i) => ONLINE + i)
    this.#open = open
  }

  static async gather(open: (n: number) => Promise<Peer>): Promise<Crowd> {
    return new Crowd(await inBatches(ONLINE, async (n) => ({ n, peer: await open(n) })), open)
  }

  get online(): readonly Member[] {
    return this.#online
  }

  /** The oldest leave, and those join who have been away longest, on schedule. */
  comeAndGo(server: Meter, seconds: number = MEASURED_S): Promise<Cost> {
    return costOf(server, async () => {
      const begin = performance.now()
      const under: Promise<unknown>[] = []
      const wanted = seconds * JOINING_PER_SECOND
      for (let joined = 0; joined < wanted; ) {
        const due = Math.min(wanted, ((performance.now() - begin) * JOINING_PER_SECOND) / 1000)
        for (; joined < due; joined++) under.push(this.#joins(), this.#leaves())
        await delay(5)
      }
      await Promise.all(under)
      return { elapsed: (performance.now() - begin) / 1000, joined: wanted }
    })
  }

  async leave(): Promise<void> {
    await Promise.all(this.#online.map(({ peer }) => peer.close()))
  }

  async #joins(): Promise<void> {
    const n = this.#away.shift()!
    this.#online.push({ n, peer: await this.#open(n) })
  }

  async #leaves(): Promise<void> {
    const { n, peer } = this.#online.shift()!
    await peer.close()
    this.#away.push(n)
  }
}

interface User {
  readonly login: Login
  /** Asks for the contacts. */
  readonly query: Buffer
}

function userOf(n: number): User {
  const contacts = Array.from({ length: CONTACTS }, () => nameOf(Math.floor(Math.random() * (ONLINE + AWAY))))
  return {
    login: loginOf(nameOf(n), { subscriptions: [...CALL_QUEUES, STATUS_TOPIC] }),
    query: sendOf('/app/user/status', JSON.stringify([...new Set(contacts)])),
  }
}

const nameOf = (n: number) => `user-${n}`

/** Fulfilled when all have their answer. */
async function watchAll(members: readonly Member[], users: readonly User[]): Promise<void> {
  await inBatches(members.length, async (i) => {
    const { n, peer } = members[i]!
    const count = peer.onMessage
    const answered = peer.hears((frame) => destinationOf(frame) === STATUS_TOPIC)
    peer.send(users[n]!.query)
    await answered
    peer.onMessage = count
  })
}
