/**
 * The octets of a request's body, bounded; what they mean is the endpoint's matter. A body that is refused is not read
 * to its end: who announces a gigabyte, or sends it drop by drop, is answered at once, and the connection closes.
 */

import type { Request, Response } from 'express'

/** Rejects with a {@link BodyFault} when the body is too large or does not come whole. */
export type BodyReader = (request: Request, response: Response) => Promise<Uint8Array>

export class BodyFault extends Error {
  readonly fault: 'too large' | 'encoded' | 'not whole'

  constructor(fault: BodyFault['fault']) {
    super(fault)
    this.fault = fault
  }
}

/** Compressed bodies are refused: signalling is small, and it is forwarded as it came. */
export function bodyReader(limit: number): BodyReader {
  return (request, response) =>
    new Promise((resolve, reject) => {
      const fail = (fault: BodyFault['fault']): void => {
        request.removeAllListeners('data').pause()
        // What is not read must not be taken for the next request
        if (!response.headersSent) response.set('Connection', 'close')
        reject(new BodyFault(fault))
      }
      const { 'content-encoding': encoding = 'identity', 'content-length': announced = '0' } = request.headers
      if (encoding.toLowerCase() !== 'identity') {
        fail('encoded')
        return
      }
      if (Number(announced) > limit) {
        fail('too large')
        return
      }
      const chunks: Buffer[] = []
      let octets = 0
      request.on('data', (chunk: Buffer) => {
        octets += chunk.length
        if (octets > limit) fail('too large')
        else chunks.push(chunk)
      })
      request.once('end', () => resolve(Buffer.concat(chunks)))
      // A request that came whole closes as well
      const lost = (): void => {
        if (!request.complete) fail('not whole')
      }
      request.once('error', lost)
      request.once('close', lost)
    })
}
