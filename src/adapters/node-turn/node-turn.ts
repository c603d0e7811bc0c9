/**
 * The typed face of what we use from node-turn 0.0.6 (CommonJS, no types, no `exports`). Nothing else in this folder
 * reaches into the package. What the package gets wrong is listed in README.md, with the place where we put it right.
 */

import { createRequire } from 'node:module'

/** A socket as node-turn wants it: anything that can send. */
export interface Sink {
  send(bytes: Buffer, port: number, address: string, done: (error: Error | null) => void): void
}

export interface NodeTurnAddress {
  /** 1: IPv4, 2: IPv6. */
  readonly family: number
  readonly address: string
  readonly port: number
}

export interface NodeTurnTransport {
  readonly src: NodeTurnAddress
  readonly dst: NodeTurnAddress
  readonly socket: Sink
}

/** The part of an attribute that {@link NodeTurnMessage.toBuffer} asks for; ours stand beside node-turn's own. */
export interface EncodableAttribute {
  readonly type: number | null
  readonly length: number
  readonly padding: number
  readonly value: unknown
  toBuffer(): Buffer
}

export interface NodeTurnAttribute extends EncodableAttribute {
  /** Reads type, length and value from the start of `data`, which must be a {@link Data}. Throws at what it cannot read. */
  read(data: Buffer): void
}

export interface NodeTurnUser {
  readonly username: string
  readonly password: string
}

export interface NodeTurnMessage {
  class: number | null
  method: number | null
  /** 24 hexadecimal digits. */
  transactionID: string | null
  useFingerprint: boolean
  /** Octets of the attributes so far, without the header. */
  length: number
  attributes: EncodableAttribute[]
  readonly transport: NodeTurnTransport
  read(bytes: Buffer): boolean
  /** A message back to where this one came from, with its method, transaction and use of FINGERPRINT. */
  reply(): NodeTurnMessage
  /** Whose key MESSAGE-INTEGRITY is computed with. */
  setUser(user: NodeTurnUser): void
  addAttribute(name: string, value?: unknown): void
  /** The value of the first attribute of this name. */
  getAttribute(name: string): unknown
  getAttributes(name: string): unknown[]
  /** `allocate`, `channel_bind`, … or `unknown-method`. */
  getMethodName(): string
  /** Encodes it; attributes stand in the order in which they were added, FINGERPRINT last. */
  toBuffer(): Buffer
}

export interface NodeTurnServer {
  software: string
  readonly realm: string
  on(event: string, listener: (...args: never[]) => void): this
  emit(event: string, ...args: unknown[]): boolean
  listenerCount(event: string): number
  removeAllListeners(event: string): this
}

export interface NodeTurnConfig {
  readonly realm: string
  readonly authMech: 'long-term'
  readonly debugLevel: 'OFF'
  readonly listeningIps: readonly string[]
  readonly credentials: Readonly<Record<string, string>>
}

interface Constants {
  readonly ATTR: Readonly<Record<string, number>>
  readonly CLASS: { readonly REQUEST: 0; readonly INDICATION: 1; readonly SUCCESS: 2; readonly ERROR: 3 }
  readonly METHOD: Readonly<
    Record<'BINDING' | 'ALLOCATE' | 'REFRESH' | 'SEND' | 'DATA' | 'CREATE_PERMISSION' | 'CHANNEL_BIND', number>
  >
  readonly TRANSPORT: { readonly PROTOCOL: { readonly UDP: number } }
  readonly MAGIC_COOKIE: number
}

const load = createRequire(import.meta.url)

export const Server = load('node-turn') as new (config: NodeTurnConfig) => NodeTurnServer
export const Message = load('node-turn/lib/message') as new (
  server: NodeTurnServer,
  transport: NodeTurnTransport,
) => NodeTurnMessage
export const Attribute = load('node-turn/lib/attribute') as new (message: NodeTurnMessage) => NodeTurnAttribute
export const Address = load('node-turn/lib/address') as new (address: string, port: number) => NodeTurnAddress
export const Transport = load('node-turn/lib/transport') as new (
  protocol: number,
  source: NodeTurnAddress,
  destination: NodeTurnAddress,
  socket: Sink,
) => NodeTurnTransport
/** Gives the buffer itself another prototype: hand it a view of its own. */
export const Data = load('node-turn/lib/data') as new (bytes: Buffer) => Buffer
export const CONSTANTS = load('node-turn/lib/constants') as Constants
