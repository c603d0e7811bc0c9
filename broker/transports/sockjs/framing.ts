/**
 * SockJS's framing (sockjs-protocol 0.3.3, "Protocol and framing"): what the server says in one-letter frames, and the
 * JSON in which a client sends its messages. Knows neither HTTP nor WebSocket.
 */

/** The session is open. */
export const OPEN = 'o'

/** Nothing to say, and still there. */
export const HEARTBEAT = 'h'

/** Messages for the client, in order. */
export function messagesFrame(messages: readonly string[]): string {
  return `a[${messages.map(quote).join(',')}]`
}

/** The session is over: a code (RFC 6455 section 7.4, or 2010 of SockJS's own) and a reason for people. */
export function closeFrame(code: number, reason: string): string {
  return `c[${code},${quote(reason)}]`
}

/** What a client sent: its messages joined, or what it is told was wrong (the words are the protocol's). */
export type Received = { readonly text: string } | { readonly wrong: 'Payload expected.' | 'Broken JSON encoding.' }

/**
 * Reads the messages in one payload. They come joined: STOMP is a stream, which may be cut anywhere. `single`: one
 * string instead of a list is fine too, as it is on a WebSocket.
 */
export function readMessages(payload: string, single = false): Received {
  if (payload === '') return { wrong: 'Payload expected.' }
  let messages: unknown
  try {
    messages = JSON.parse(payload)
  } catch {
    return { wrong: 'Broken JSON encoding.' }
  }
  if (single && typeof messages === 'string') return { text: messages }
  if (!Array.isArray(messages) || !messages.every((message) => typeof message === 'string'))
    return { wrong: 'Payload expected.' }
  return { text: messages.join('') }
}

/** Characters that browsers were seen to change on the way ("JSON Unicode Encoding"); JSON escapes the others itself. */
const MANGLED = /[\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\uffff]/g

function quote(text: string): string {
  return JSON.stringify(text).replace(MANGLED, (character) => `\\u${character.charCodeAt(0).toString(16)}`)
}
