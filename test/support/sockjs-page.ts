/**
 * SockJS as a page speaks it where sockjs-client cannot in Node: each transport by the requests that a browser would
 * make, with the face of a WebSocket. Knows nothing of STOMP.
 */

import { randomUUID } from 'node:crypto'

export type PageTransport = 'eventsource' | 'htmlfile' | 'jsonp' | 'xhr' | 'xhr_streaming'

/** How frames are found in a response: the pattern's first group holds one. */
interface Reading {
  readonly path: string
  readonly method: 'GET' | 'POST'
  readonly frame: RegExp
  readonly decode: (text: string) => string
}

const script = (text: string): string => JSON.parse(text) as string

const READING: Readonly<Record<PageTransport, Reading>> = {
  eventsource: { path: 'eventsource', method: 'GET', frame: /data: (.*)\r\n\r\n/g, decode: decodeURI },
  htmlfile: { path: 'htmlfile?c=page', method: 'GET', frame: /<script>\np\((.*)\);\n<\/script>\r\n/g, decode: script },
  jsonp: { path: 'jsonp?c=page', method: 'GET', frame: /\/\*\*\/page\((.*)\);\r\n/g, decode: script },
  xhr: { path: 'xhr', method: 'POST', frame: /(.*)\n/g, decode: (text) => text },
  xhr_streaming: { path: 'xhr_streaming', method: 'POST', frame: /(.*)\n/g, decode: (text) => text },
}

/** Opens a session below `base` (`http://…/imserver/ws`) at once. */
export class SockJsPage {
  readonly url: string
  readonly protocol = ''
  binaryType = 'arraybuffer'
  readyState = 0
  onopen: (event: object) => void = () => {}
  onmessage: (event: { data: string }) => void = () => {}
  onclose: (event: { code: number; reason: string }) => void = () => {}
  onerror: (event: object) => void = () => {}
  /** Frames of SockJS that came, in order. */
  readonly frames: string[] = []
  readonly #reading: Reading
  readonly #jsonp: boolean
  readonly #query: string
  readonly #gone = new AbortController()
  #unsent: string[] = []
  #sending = false

  constructor(base: string, transport: PageTransport, query = '') {
    this.url = `${base}/000/${randomUUID()}`
    this.#reading = READING[transport]
    this.#jsonp = transport === 'jsonp'
    this.#query = query
    void this.#fetch().catch((error: Error) => this.#end(1006, error.message))
  }

  send(text: string): void {
    this.#unsent.push(text)
    if (!this.#sending) void this.#post()
  }

  close(): void {
    this.#gone.abort()
    this.#end(1000, '')
  }

  async #fetch(): Promise<void> {
    const { path, method, frame, decode } = this.#reading
    while (this.readyState < 2) {
      const mark = path.includes('?') ? '&' : '?'
      const response = await fetch(`${this.url}/${path}${mark}${this.#query}`, { method, signal: this.#gone.signal })
      if (!response.ok) throw new Error(`${response.status}`)
      const utf8 = new TextDecoder()
      let text = ''
      for await (const octets of response.body as unknown as AsyncIterable<Uint8Array>) {
        text += utf8.decode(octets, { stream: true })
        let end = 0
        for (const found of text.matchAll(frame)) {
          end = found.index + found[0].length
          this.#hear(decode(found[1] as string))
        }
        text = text.slice(end)
      }
    }
  }

  #hear(frame: string): void {
    this.frames.push(frame)
    if (frame === 'o') {
      this.readyState = 1
      this.onopen({})
    } else if (frame.startsWith('a')) {
      for (const data of JSON.parse(frame.slice(1)) as string[]) this.onmessage({ data })
    } else if (frame.startsWith('c')) {
      const [code, reason] = JSON.parse(frame.slice(1)) as [number, string]
      this.#end(code, reason)
    }
  }

  /** One request at a time, as every page does: they would overtake each other. */
  async #post(): Promise<void> {
    this.#sending = true
    while (this.#unsent.length > 0 && this.readyState === 1) {
      const messages = JSON.stringify(this.#unsent.splice(0))
      try {
        const response = await (this.#jsonp
          ? fetch(`${this.url}/jsonp_send`, { method: 'POST', body: new URLSearchParams({ d: messages }) })
          : fetch(`${this.url}/xhr_send`, { method: 'POST', body: messages }))
        if (!response.ok) this.#end(1006, `sending: ${response.status}`)
        await response.arrayBuffer()
      } catch (error) {
        // A server that stops may have closed this connection at the same moment
        this.#end(1006, `sending: ${error}`)
      }
    }
    this.#sending = false
  }

  #end(code: number, reason: string): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.onclose({ code, reason })
  }
}
