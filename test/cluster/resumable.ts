/**
 * A client that resumes by hand (contract, section 7): it keeps its `resume-id` and the last `seq` that it has seen, and
 * shows every frame, those that are replayed too.
 */

import { frame, type ServerFrame, type StompPeer, stompPeer } from '../support/stomp-peer.ts'
import { tokenFor } from '../support/story.ts'
import { CALLS, type ClusterNode } from './world.ts'

export class Resumable {
  readonly user: string
  readonly token: string
  #peer: StompPeer
  #connected: ServerFrame
  /** MESSAGEs of earlier connections. */
  readonly #before: ServerFrame[] = []
  readonly #heard = new Set<ServerFrame>()

  private constructor(user: string, token: string, peer: StompPeer, connected: ServerFrame) {
    this.user = user
    this.token = token
    this.#peer = peer
    this.#connected = connected
  }

  /** Connects, and subscribes to `listens`. */
  static async arrives(node: ClusterNode, user: string, listens: readonly string[] = CALLS): Promise<Resumable> {
    const token = await tokenFor(user)
    const peer = await opened(node, user)
    const device = new Resumable(user, token, peer, await peer.connect({ ide: token, resume: 'true' }))
    node.welcomes(device)
    await device.subscribes(listens)
    return device
  }

  get session(): string {
    return this.#connected.headers.session ?? ''
  }

  /** What CONNECTED said; undefined when it was a first connection. */
  get resumed(): string | undefined {
    return this.#connected.headers.resumed
  }

  /** Of the present connection. */
  get closed(): StompPeer['closed'] {
    return this.#peer.closed
  }

  /** Every MESSAGE of all its connections, in the order they came. */
  get messages(): readonly ServerFrame[] {
    return [...this.#before, ...this.#peer.frames.filter(({ command }) => command === 'MESSAGE')]
  }

  get lastSeq(): number {
    return this.messages.reduce((last, { headers }) => Math.max(last, Number(headers.seq ?? 0)), 0)
  }

  async subscribes(listens: readonly string[] = CALLS): Promise<void> {
    for (const destination of listens) await this.#peer.subscribe(destination)
  }

  /** The network is gone. */
  async cuts(): Promise<void> {
    this.#peer.ws.terminate()
    await this.#peer.closed
  }

  /** It leaves the story. */
  async vanishes(): Promise<void> {
    this.#peer.ws.terminate()
  }

  /** What the server calls it, for a resume. */
  get resumeId(): string {
    return this.#connected.headers['resume-id'] ?? ''
  }

  /** Connects to this node with what it knows; the old connection is left as it is. */
  async returns(node: ClusterNode): Promise<void> {
    await this.#resumes(node, this.resumeId)
  }

  /** Tries to be somebody else's device. */
  async takes(device: Resumable, node: ClusterNode): Promise<void> {
    await this.#resumes(node, device.resumeId)
  }

  async #resumes(node: ClusterNode, resumeId: string): Promise<void> {
    const peer = await opened(node, this.user)
    // What comes over the old connection from here on is not looked at
    const { lastSeq } = this
    this.#before.push(...this.messages.slice(this.#before.length))
    this.#peer = peer
    this.#connected = await peer.connect({
      ide: this.token,
      resume: 'true',
      'resume-id': resumeId,
      'last-seq': String(lastSeq),
    })
  }

  /** The next MESSAGE on this destination, whichever connection it has come over. */
  async hears(destination: string): Promise<{ headers: ServerFrame['headers']; body: Record<string, unknown> }> {
    const wanted = (one: ServerFrame) =>
      one.command === 'MESSAGE' && one.headers.destination === destination && !this.#heard.has(one)
    const message = this.#before.find(wanted) ?? (await this.#peer.frame(wanted))
    this.#heard.add(message)
    return { headers: message.headers, body: JSON.parse(message.body) as Record<string, unknown> }
  }

  /** Fulfilled when the server has done it. */
  async says(destination: string, body: object): Promise<void> {
    const receipt = `said-${++receipts}`
    this.#peer.send(frame('SEND', { destination, receipt }, JSON.stringify(body)))
    await this.#peer.frame(({ command, headers }) => command === 'RECEIPT' && headers['receipt-id'] === receipt)
  }

  /** Whatever was told to it has come. */
  settled(): Promise<void> {
    return this.#peer.settled()
  }
}

let receipts = 0

const opened = (node: ClusterNode, user: string) =>
  stompPeer(`${node.url.replace('http', 'ws')}/imserver/ws?userId=${encodeURIComponent(user)}`)
