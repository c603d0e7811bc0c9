/**
 * POSTs webhooks over HTTP or HTTPS, on connections that are kept. Answers the {@link Endpoint} port. Redirects are not
 * followed, and of an answer nothing but its head is of interest: who answers at length is cut off.
 */

import { type ClientRequest, Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Clock } from '../../ports.ts'
import type { Answer, Endpoint } from '../../webhooks/ports.ts'

/** From the first octet that is sent to the head of the answer. */
const TIMEOUT_MS = 5_000

/** Of an answer's body: as much as is read so that the connection can be used again. */
const MOST_BODY_BYTES = 16 * 1024

/** Connections that wait for the next request. */
const IDLE = { keepAlive: true, maxFreeSockets: 8 }

export class HttpEndpoint implements Endpoint {
  readonly #url: URL
  readonly #clock: Clock
  readonly #userAgent: string
  readonly #agent: HttpAgent | HttpsAgent

  /** `url`: `http:` or `https:`. */
  constructor({ url, clock, userAgent }: { url: string; clock: Clock; userAgent: string }) {
    this.#url = new URL(url)
    this.#clock = clock
    this.#userAgent = userAgent
    this.#agent = this.#url.protocol === 'https:' ? new HttpsAgent(IDLE) : new HttpAgent(IDLE)
  }

  async post(headers: Readonly<Record<string, string>>, body: string, signal: AbortSignal): Promise<Answer> {
    try {
      return await this.#once(headers, body, signal)
    } catch (error) {
      // The other side has closed a kept connection in the moment it was used: it has not seen the request
      if (error instanceof Stale) return await this.#once(headers, body, signal)
      throw error
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  #once(headers: Readonly<Record<string, string>>, body: string, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const send = this.#url.protocol === 'https:' ? httpsRequest : httpRequest
      const request = send(this.#url, {
        method: 'POST',
        agent: this.#agent,
        signal,
        headers: { ...headers, 'User-Agent': this.#userAgent, 'Content-Length': Buffer.byteLength(body) },
      })
      const cancel = this.#clock.after(TIMEOUT_MS, () =>
        request.destroy(new Error(`no answer within ${TIMEOUT_MS} ms`)),
      )
      request.on('close', cancel)
      request.on('response', (response) => {
        resolve(answerOf(response, this.#clock.now()))
        drain(request, response)
      })
      request.on('error', (error: NodeJS.ErrnoException) => {
        reject(request.reusedSocket && error.code === 'ECONNRESET' ? new Stale(error.message) : error)
      })
      request.end(body)
    })
  }
}

class Stale extends Error {}

function answerOf({ statusCode = 0, headers }: IncomingMessage, now: number): Answer {
  const retryAfterS = secondsOf(headers['retry-after'], now)
  return { status: statusCode, ...(retryAfterS !== undefined && { retryAfterS }) }
}

/** RFC 9110 section 10.2.3: seconds, or a date. */
function secondsOf(text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined
  if (/^\d{1,9}$/.test(text)) return Number(text)
  const date = Date.parse(text)
  return Number.isNaN(date) ? undefined : Math.max(0, Math.ceil((date - now) / 1000))
}

function drain(request: ClientRequest, response: IncomingMessage): void {
  let bytes = 0
  response.on('error', () => undefined)
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MOST_BODY_BYTES) request.destroy()
  })
}
