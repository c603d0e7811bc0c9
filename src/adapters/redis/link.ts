/**
 * The way to Redis, whatever its form (one server, Sentinel, Cluster): commands by the key that they concern, scripts,
 * and the news that it is gone or back. Knows nothing of what is kept there.
 */

import { type Cancel, Unavailable } from '../../ports.ts'

/** What commands are made of. */
export type Argument = string | Buffer

/** A Lua script: all its keys share a hash tag, so that it runs in a Cluster. */
export interface Script {
  readonly name: string
  readonly source: string
}

/** Certainly not carried out: never sent, or refused. */
export class Unsent extends Unavailable {}

export interface RedisLink {
  /** Whether commands are answered now. */
  readonly up: boolean
  /** `KEYS` of this installation begin with it: `carillon:` unless REDIS_PREFIX says otherwise. */
  readonly prefix: string
  /**
   * Sends a command to the server that has `key`; commands of one key keep their order, but for those that a Cluster
   * sends on to another server. Nothing waits for Redis to come back: rejected with `Unavailable` when it is away, or
   * has not answered for a second; whether the command was carried out is not known then, unless it is {@link Unsent}.
   * Replies are those of RESP3,
   * with maps as flat arrays of names and values; bulk replies are texts.
   */
  run(key: string, command: readonly Argument[]): Promise<unknown>
  /** The same, with bulk replies as octets. */
  octets(key: string, command: readonly Argument[]): Promise<unknown>
  /** Runs a script on its keys, by its digest. Replies as with {@link run}. */
  script(script: Script, keys: readonly [string, ...string[]], args: readonly Argument[]): Promise<unknown>
  /**
   * A connection of its own for a command that blocks (`… BLOCK ms …`); bulk replies as octets. Rejected with
   * `Unavailable` when the connection breaks: ask again, after a pause.
   */
  blocking(key: string, command: readonly Argument[]): Promise<unknown>
  /**
   * `up` is called whenever commands are answered again, at the first time too (and soon, when that has been before):
   * what was written before may be gone. `down` when they no longer are. Returns what takes it off.
   */
  watch(watcher: { up?(): void; down?(): void }): Cancel
  /** Milliseconds since the epoch by the clock of Redis, which all processes share. */
  time(): Promise<number>
  stop(): Promise<void>
}
