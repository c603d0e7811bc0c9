/**
 * The way to Redis, whatever its form (one server, Sentinel, Cluster): commands by the key that they concern, scripts,
 * and the news that it is gone or back. Knows nothing of what is kept there.
 */

import type { Cancel } from '../../ports.ts'

/** What commands are made of, and answered with (RESP3; texts unless asked for octets). */
export type Argument = string | Buffer

/** A Lua script: all its keys share a hash tag, so that it runs in a Cluster. */
export interface Script {
  readonly name: string
  readonly source: string
}

export interface RedisLink {
  /** Whether commands are answered now. */
  readonly up: boolean
  /** `KEYS` of this installation begin with it: `carillon:` unless REDIS_PREFIX says otherwise. */
  readonly prefix: string
  /**
   * Sends a command to the server that has `key`; commands of one key keep their order. Rejected with `Unavailable`
   * when it is not answered in time; whether it was carried out is not known then.
   */
  run(key: string, command: readonly Argument[]): Promise<unknown>
  /** The same, with bulk replies as octets. */
  octets(key: string, command: readonly Argument[]): Promise<unknown>
  /** Runs a script on its keys, by its digest. */
  script(script: Script, keys: readonly [string, ...string[]], args: readonly Argument[]): Promise<unknown>
  /**
   * A connection of its own for a command that blocks (XREAD BLOCK); bulk replies as octets. Rejected when the
   * connection breaks: ask again.
   */
  blocking(key: string, command: readonly Argument[]): Promise<unknown>
  /**
   * `up` is called whenever commands are answered again, at the first time too: what was written before may be gone.
   * `down` when they no longer are. Returns what takes it off.
   */
  watch(watcher: { up?(): void; down?(): void }): Cancel
  /** Milliseconds since the epoch by the clock of Redis, which all processes share. */
  time(): Promise<number>
  stop(): Promise<void>
}
