import { afterAll, afterEach, beforeAll } from '@jest/globals'
import type { NodeAtHand } from './nodes.ts'
import { type RedisServer, startRedis } from './redis.ts'

/** For the tests of a file: one Redis, and for each test a group of nodes with keys of its own there, gone after the test. */
export class Group<Node extends NodeAtHand = NodeAtHand> {
  redis!: RedisServer
  prefix = 'g0:'
  readonly running: Node[] = []

  /** `check`: what must be so of each node when a test is over. */
  constructor(check: (node: Node) => void = () => undefined) {
    let over = 0
    beforeAll(async () => {
      this.redis = await startRedis()
    })
    afterAll(() => this.redis.stop())
    afterEach(async () => {
      this.running.forEach(check)
      await this.ends()
      this.prefix = `g${++over}:`
    })
  }

  /** What makes a node one of this group. */
  get at(): { readonly url: string; readonly prefix: string } {
    return { url: this.redis.url, prefix: this.prefix }
  }

  async joins(node: Promise<Node>): Promise<Node> {
    this.running.push(await node)
    return node
  }

  async ends(): Promise<void> {
    await Promise.all(this.running.splice(0).map((node) => node.stop()))
  }
}
