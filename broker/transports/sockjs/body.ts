/** Bodies of requests, within a bound. Knows nothing of what is in them. */

import type { IncomingMessage } from 'node:http'

/** Octets of all bodies that are being received for somebody, and how many that may be. */
export interface Room {
  taken: number
  readonly most: number
}

const FIRST_OCTETS = 1024

/**
 * Calls back once with the whole body, or with undefined when there is no room for it (the rest is then left unread).
 * Never for a request that is cut off. A body is held once, however small the pieces are in which it comes.
 */
export function receiveBody(request: IncomingMessage, room: Room, done: (body: Buffer | undefined) => void): void {
  let body = Buffer.allocUnsafe(FIRST_OCTETS)
  let length = 0

  const leave = (): void => {
    request.off('data', take)
    request.off('end', end)
    request.off('close', leave)
    room.taken -= length
    length = 0
  }
  const take = (piece: Buffer): void => {
    if (room.taken + piece.length > room.most) {
      leave()
      request.pause()
      done(undefined)
      return
    }
    if (length + piece.length > body.length) {
      const larger = Buffer.allocUnsafe(Math.max(2 * body.length, length + piece.length))
      body.copy(larger, 0, 0, length)
      body = larger
    }
    piece.copy(body, length)
    length += piece.length
    room.taken += piece.length
  }
  const end = (): void => {
    const whole = body.subarray(0, length)
    leave()
    done(whole)
  }
  request.on('data', take)
  request.on('end', end)
  request.on('close', leave)
}
