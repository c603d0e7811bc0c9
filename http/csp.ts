/** What a page of ours may load (Content Security Policy, level 3): its own files, nothing from elsewhere. */

import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The policy for one request: `host` is where the page came from, so its WebSocket goes there. */
export type Policy = (host: string | undefined) => string

/**
 * For the softphone. Its one inline script, the import map, is named by its hash; so it is read once, here.
 * A page that does not exist has no inline script.
 */
export function pagePolicy(web: string): Policy {
  const scripts = inlineScripts(join(web, 'index.html')).map((script) => ` 'sha256-${sha256(script)}'`)
  return (host) =>
    [
      "default-src 'none'",
      `script-src 'self'${scripts.join('')}`,
      "style-src 'self'",
      "img-src 'self' data: blob:",
      "media-src 'self' blob: data:",
      "font-src 'self'",
      "manifest-src 'self'",
      // the typed client's heart-beats: timers of workers go on in background tabs
      "worker-src 'self' blob:",
      `connect-src 'self'${socketsOf(host)}`,
      "base-uri 'none'",
      "form-action 'self'",
      "frame-ancestors 'none'",
    ].join('; ')
}

/** For Swagger UI, which writes style attributes and draws its icons as data. */
export const docsPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** Older Safari does not count ws: and wss: of the own host as 'self'. */
function socketsOf(host: string | undefined): string {
  return host !== undefined && /^[\w.-]+(:\d{1,5})?$|^\[[\da-f:.]+\](:\d{1,5})?$/i.test(host)
    ? ` ws://${host} wss://${host}`
    : ''
}

function inlineScripts(path: string): string[] {
  let html: string
  try {
    html = readFileSync(path, 'utf8')
  } catch {
    return []
  }
  return [...html.matchAll(/<script\b([^>]*)>([\s\S]*?)<\/script>/gi)]
    .filter(([, attributes = '']) => !/\bsrc\s*=/i.test(attributes))
    .map(([, , script = '']) => script)
}

// browsers hash what the parser saw, and the parser turns CR LF into LF (HTML standard, "Preprocessing the input stream")
const sha256 = (text: string) => createHash('sha256').update(text.replaceAll('\r\n', '\n')).digest('base64')
