/** What open queues keep is bounded, whoever keeps it: the queue, or a consumer that does not acknowledge. */

import { describe, expect, test } from '@jest/globals'
import { type Consumer, type Delivery, OpenQueues } from '../../broker/open-destinations.ts'
import { type AckMode, Subscription } from '../../broker/subscriptions.ts'

const LIMITS = { queueMessages: 100, queueBytes: 1000, allQueuesBytes: 1500, queues: 10, redeliveries: 1 }
const MESSAGE = { body: 'x' }

function queues() {
  const dropped: string[] = []
  const all = new OpenQueues(LIMITS, { delivered: () => undefined, dropped: (queue) => dropped.push(queue) })
  /** A consumer with room for everything, and what it has not acknowledged. */
  const consumes = (queue: string, ack: AckMode): { consumer: Consumer; unacknowledged: Delivery[] } => {
    let n = 0
    const unacknowledged: Delivery[] = []
    const subscriber = {
      id: 's',
      version: '1.2' as const,
      behind: false,
      misses: () => undefined,
      nextMessage: () => ++n,
      write: () => undefined,
    }
    const consumer: Consumer = {
      subscription: new Subscription(subscriber, 'q', queue, ack),
      hasRoom: () => true,
      nextMessage: () => ++n,
      mustAcknowledge: (_, delivery) => void unacknowledged.push(delivery),
    }
    all.consume(consumer)
    return { consumer, unacknowledged }
  }
  return { all, dropped, consumes }
}

describe('all queues together', () => {
  test('keep no more than may be, however many they are', () => {
    const { all } = queues()
    expect(all.send('/queue/a', MESSAGE, 800)).toBeUndefined()
    expect(all.send('/queue/b', MESSAGE, 600)).toBeUndefined()
    expect(all.send('/queue/c', MESSAGE, 200)).toMatchObject({ code: 429 })
    expect(all.bytes).toBe(1400)
    expect(all.size).toBe(2)
  })

  test('take one message of any size into an empty queue, and no second one', () => {
    const { all } = queues()
    expect(all.send('/queue/a', MESSAGE, 1200)).toBeUndefined()
    expect(all.send('/queue/a', MESSAGE, 10)).toMatchObject({ code: 429 })
  })

  test('count what was given out and is not acknowledged', () => {
    const { all, consumes } = queues()
    const { unacknowledged } = consumes('/queue/a', 'client')
    expect(all.send('/queue/a', MESSAGE, 900)).toBeUndefined()
    expect(all.send('/queue/a', MESSAGE, 500)).toBeUndefined()
    expect(unacknowledged).toHaveLength(2)
    expect(all.send('/queue/a', MESSAGE, 500)).toMatchObject({ code: 429 })
    unacknowledged[0]?.acknowledged()
    expect(all.bytes).toBe(500)
    expect(all.send('/queue/a', MESSAGE, 500)).toBeUndefined()
  })

  test('do not count what is taken without an ACK, and take it although they are full', () => {
    const { all, consumes } = queues()
    all.send('/queue/a', MESSAGE, 900)
    all.send('/queue/b', MESSAGE, 600)
    consumes('/queue/c', 'auto')
    expect(all.send('/queue/c', MESSAGE, 900)).toBeUndefined()
    expect(all.bytes).toBe(1500)
    consumes('/queue/a', 'auto')
    expect(all.bytes).toBe(600)
  })

  test('count a message once, wherever it goes, until it is dropped', () => {
    const { all, consumes, dropped } = queues()
    const { unacknowledged } = consumes('/queue/a', 'client-individual')
    all.send('/queue/a', MESSAGE, 900)
    unacknowledged.pop()?.returned()
    expect(all.bytes).toBe(900)
    const { consumer, unacknowledged: others } = consumes('/queue/a', 'client-individual')
    for (let refusals = 0; refusals < 2; refusals++) {
      const given = unacknowledged.pop() ?? others.pop()
      expect(all.bytes).toBe(900)
      given?.refused(true)
      all.wake(consumer)
    }
    expect([all.bytes, dropped]).toEqual([0, ['/queue/a']])
  })
})
