/** `/api/v1/rtc` over several processes: what one of them begins, any other one goes on with, and tells who waits. */

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { tokenFor } from '../support/story.ts'
import { alone, Cluster, type ClusterNode } from './world.ts'

const RTC = '/api/v1/rtc'

let cluster: Cluster
let a: ClusterNode
let b: ClusterNode

beforeAll(async () => {
  cluster = new Cluster(await alone())
  ;[a, b] = await cluster.nodes(2)
})
afterAll(() => cluster.closes())

let people = 0

/** Users nobody else has. */
function users(): [string, string] {
  people++
  return [`alice-${people}`, `bob-${people}`]
}

interface Shown {
  readonly callId: string
  readonly status: string
  readonly version: string
}

const dataOf = ({ body }: { body: Record<string, unknown> }) => body.data as Shown

test('a call begun at one node rings at another, and is answered and ended at either', async () => {
  const [alice, bob] = users()
  const phone = await b.arrives(bob)
  const body = { callerId: alice, calleeId: bob, callType: 'AUDIO' }
  const { callId } = dataOf(await a.asks(alice, `${RTC}/call/initiate`, body))
  await phone.hears('/user/queue/call/request', { callId, caller: alice })
  const answered = await a.asks(bob, `${RTC}/call/answer`, { callId, userId: bob })
  expect(answered.body).toMatchObject({ code: 200, data: { status: 'CONNECTED' } })
  expect((await b.asks(alice, `${RTC}/call/hangup`, { callId, userId: alice })).body).toMatchObject({ code: 200 })
  await phone.hears('/user/queue/call/hangup', { callId, reason: 'HANGUP' })
  expect((await a.asks(bob, `${RTC}/call/${callId}`, undefined, { method: 'GET' })).body).toMatchObject({
    data: { status: 'COMPLETED', reason: 'HANGUP' },
  })
})

test('ten requests with the same Idempotency-Key at both nodes are one call, and ring once', async () => {
  const [alice, bob] = users()
  const phone = await b.arrives(bob)
  const body = { callerId: alice, calleeId: bob, callType: 'AUDIO' }
  const headers = { 'Idempotency-Key': 'the-same' }
  const told = await Promise.all(
    Array.from({ length: 10 }, (_, place) =>
      (place % 2 ? a : b).asks(alice, `${RTC}/call/initiate`, body, { headers }),
    ),
  )
  for (const one of told) expect(one.body).toEqual({ ...told[0]?.body, code: 200 })
  await phone.hears('/user/queue/call/request', { callId: dataOf(told[0]!).callId })
  await cluster.settles()
  await phone.hearsNothing()
})

test('who waits at one node for a call hears at once of what another one changes', async () => {
  const [alice, bob] = users()
  const body = { callerId: alice, calleeId: bob, callType: 'AUDIO' }
  const { callId } = dataOf(await a.asks(alice, `${RTC}/call/initiate`, body))
  const look = (node: ClusterNode, query: string, token?: string) =>
    node.asks(alice, `${RTC}/call/${callId}${query}`, undefined, { method: 'GET', ...(token && { token }) })
  const service = await tokenFor('back end', { role: 'service' })
  const { version } = dataOf(await look(b, '', service))
  const told = look(b, `?wait=25&since=${version}`, service)
  await a.asks(bob, `${RTC}/call/answer`, { callId, userId: bob })
  expect(dataOf(await told)).toMatchObject({ status: 'CONNECTED' })
})
