/** The octets of a request's body, bounded; what they mean is the endpoint's matter. */

import express, { type Request, type Response } from 'express'

/** Rejects with an error of body-parser (`type`, `status`) when the body is too large or does not come whole. */
export type BodyReader = (request: Request, response: Response) => Promise<Uint8Array>

/** Compressed bodies are refused: signalling is small, and it is forwarded as it came. */
export function bodyReader(limit: number): BodyReader {
  const read = express.raw({ type: () => true, limit, inflate: false })
  return (request, response) =>
    new Promise((resolve, reject) => {
      read(request, response, (error?: unknown) => {
        if (error !== undefined) {
          reject(error)
          return
        }
        const body: unknown = request.body
        resolve(Buffer.isBuffer(body) ? body : Buffer.alloc(0))
      })
    })
}
