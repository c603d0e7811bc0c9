/**
 * A request and its one response. The response is signed as soon as it is known whose key to sign with (RFC 8489,
 * section 9.2.4: clients drop an unsigned one), and before that it is never more than twice as large as the request
 * (with a realm of 8 octets or less), because the sender's address may be forged.
 */

import type { Caller } from './authentication.ts'
import type { Client } from './client.ts'
import { addRaw, type Inbound } from './message.ts'
import { CONSTANTS, type NodeTurnMessage } from './node-turn.ts'

/** RFC 8489, section 14.8, and RFC 8656, section 19. */
const REASONS = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  420: 'Unknown Attribute',
  437: 'Allocation Mismatch',
  438: 'Stale Nonce',
  440: 'Address Family not Supported',
  441: 'Wrong Credentials',
  442: 'Unsupported Transport Protocol',
  443: 'Peer Address Family Mismatch',
  486: 'Allocation Quota Reached',
  508: 'Insufficient Capacity',
} as const

export type ErrorCode = keyof typeof REASONS

/** What a request comes to. `silence`: another response is already on its way. */
export type Answer = 'success' | 'silence' | ErrorCode

const UNKNOWN_ATTRIBUTES = 0x000a

/** Header and REQUESTED-TRANSPORT: no request that starts a client's business is smaller. */
const SMALLEST_ALLOCATE = 28

export class Exchange {
  readonly request: Inbound
  readonly client: Client
  readonly #reply: NodeTurnMessage
  readonly #refused: (code: ErrorCode) => void
  #caller: Caller | undefined

  /** `refused` is told of every error response. */
  constructor(request: Inbound, client: Client, refused: (code: ErrorCode) => void) {
    this.request = request
    this.client = client
    this.#reply = request.reply()
    this.#refused = refused
  }

  /** From now on the response is signed. */
  signAs(caller: Caller): void {
    this.#caller = caller
    this.#reply.setUser(caller)
  }

  /** Who has signed the request. Methods run only when somebody has. */
  get caller(): Caller {
    if (!this.#caller) throw new Error('the request is not authenticated')
    return this.#caller
  }

  /** Adds an attribute in node-turn's terms to the response. */
  add(name: string, value: unknown): this {
    this.#reply.addAttribute(name, value)
    return this
  }

  /** Adds an attribute that node-turn cannot write. */
  addRaw(type: number, value: Buffer): this {
    addRaw(this.#reply, type, value)
    return this
  }

  /** Sends the response. */
  answer(answer: Answer): void {
    if (answer === 'silence') return
    if (answer === 'success') {
      this.#reply.addAttribute('software', 'Carillon')
      this.#send(CONSTANTS.CLASS.SUCCESS)
    } else this.#refuse(answer)
  }

  #refuse(code: ErrorCode): void {
    this.#reply.addAttribute('error-code', { code, reason: this.#reason(code) })
    if (code === 420) addRaw(this.#reply, UNKNOWN_ATTRIBUTES, listOf(this.request.unknown))
    this.#refused(code)
    this.#send(CONSTANTS.CLASS.ERROR)
  }

  /**
   * Asks for (other) credentials: RFC 8489, section 9.2.4. What is too small to be a request that could ever succeed
   * is told so instead, for a challenge would be more than twice its size.
   */
  challenge(code: 401 | 438, realm: string, nonce: string): void {
    if (this.request.size < SMALLEST_ALLOCATE + (this.request.useFingerprint ? 8 : 0)) {
      this.#refuse(400)
      return
    }
    this.#reply.addAttribute('realm', realm)
    this.#reply.addAttribute('nonce', nonce)
    this.#refuse(code)
  }

  /** The phrase is for people who read traces; it is left out where there is no room for it. */
  #reason(code: ErrorCode): string {
    const reason = REASONS[code]
    const fits = this.#caller !== undefined || this.#sizeWith(8 + padded(reason.length)) <= 2 * this.request.size
    return fits && code !== 420 ? reason : ''
  }

  #sizeWith(octets: number): number {
    return 20 + this.#reply.length + octets + (this.request.useFingerprint ? 8 : 0)
  }

  #send(kind: number): void {
    const { transport } = this.#reply
    this.#reply.class = kind
    if (this.#caller) this.#reply.addAttribute('message-integrity')
    transport.socket.send(this.#reply.toBuffer(), transport.dst.port, transport.dst.address, () => undefined)
  }
}

const padded = (length: number) => (length + 3) & ~3

/** UNKNOWN-ATTRIBUTES (RFC 8489, section 14.9). */
function listOf(types: readonly number[]): Buffer {
  const list = Buffer.alloc(types.length * 2)
  types.forEach((type, at) => void list.writeUInt16BE(type, at * 2))
  return list
}
