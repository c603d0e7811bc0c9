/**
 * Messages out of a stream of octets (RFC 8656, section 12.5): STUN messages by their length, ChannelData by its length
 * and padded to four octets. Nothing on the way is ever copied twice, however small the pieces that it comes in.
 */

import { isChannelData } from './framing.ts'
import { CONSTANTS } from './node-turn.ts'

const STUN_HEADER = 20
const CHANNEL_HEADER = 4

/** `incomplete`: the header has not arrived yet. `nonsense`: no message starts like this. */
type Size = number | 'incomplete' | 'nonsense'

function sizeOf(octets: Buffer, at: number, end: number): Size {
  if (end - at < CHANNEL_HEADER) return 'incomplete'
  const length = octets.readUInt16BE(at + 2)
  if (isChannelData(octets, at)) return CHANNEL_HEADER + length + (-length & 3)
  if ((octets[at] ?? 0xff) > 0x3f || length % 4 !== 0) return 'nonsense'
  // known early, so that another protocol is not listened to for long
  if (end - at >= 8 && octets.readUInt32BE(at + 4) !== CONSTANTS.MAGIC_COOKIE) return 'nonsense'
  return STUN_HEADER + length
}

export class StreamReader {
  /** A message that has not come to its end, with room for all of it once its size is known. */
  #partial: Buffer | undefined
  #filled = 0

  /** Whether the stream stands in the middle of a message. */
  get midway(): boolean {
    return this.#partial !== undefined
  }

  /**
   * Hands every message that is complete to `take`, ChannelData with its padding. False when the stream makes no sense
   * (any more): because of what is in it, because `fits` says no to the next one, or because `take` did.
   */
  read(
    chunk: Buffer,
    { fits, take }: { fits: (size: number) => boolean; take: (message: Buffer) => boolean },
  ): boolean {
    let at = 0
    while (at < chunk.length) {
      if (this.#partial) {
        const used = this.#fill(this.#partial, chunk, at, fits)
        if (used === undefined) return false
        at += used
        const message = this.#whole()
        if (message && !take(message)) return false
        continue
      }
      const size = sizeOf(chunk, at, chunk.length)
      if (size === 'nonsense' || (size !== 'incomplete' && !fits(size))) return false
      if (size !== 'incomplete' && at + size <= chunk.length) {
        if (!take(chunk.subarray(at, at + size))) return false
        at += size
      } else {
        this.#partial = Buffer.allocUnsafe(size === 'incomplete' ? CHANNEL_HEADER : size)
        this.#filled = chunk.copy(this.#partial, 0, at)
        at = chunk.length
      }
    }
    return true
  }

  /** Takes as much of the chunk as the message lacks; undefined when it makes no sense. */
  #fill(partial: Buffer, chunk: Buffer, at: number, fits: (size: number) => boolean): number | undefined {
    const used = chunk.copy(partial, this.#filled, at, at + partial.length - this.#filled)
    this.#filled += used
    const size = sizeOf(partial, 0, this.#filled)
    if (size === 'nonsense') return undefined
    if (size !== 'incomplete' && size !== partial.length) {
      if (!fits(size)) return undefined
      const whole = Buffer.allocUnsafe(size)
      partial.copy(whole, 0, 0, this.#filled)
      this.#partial = whole
    }
    return used
  }

  #whole(): Buffer | undefined {
    const partial = this.#partial
    if (!partial || this.#filled < partial.length || sizeOf(partial, 0, this.#filled) === 'incomplete') return undefined
    this.#partial = undefined
    this.#filled = 0
    return partial
  }
}
