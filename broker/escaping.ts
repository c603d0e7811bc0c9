/**
 * Header escaping per version (STOMP 1.2, "Value Encoding"; STOMP 1.1, the same): 1.0 knows none,
 * 1.1 `\n \c \\`, 1.2 also `\r`. Who must not escape at all (CONNECT, CONNECTED) is the caller's business.
 */

import type { Version } from './frame.ts'

/** What `\` and a letter stand for. */
const MEANINGS: ReadonlyMap<string | undefined, string> = new Map([
  ['n', '\n'],
  ['c', ':'],
  ['\\', '\\'],
  ['r', '\r'],
])

/** Reads escapes; undefined when there is one that the version does not define. Such a frame must be refused. */
export function unescapeHeader(text: string, version: Version): string | undefined {
  let from = text.indexOf('\\')
  if (from < 0 || version === '1.0') return text
  let plain = ''
  let rest = 0
  for (; from >= 0; from = text.indexOf('\\', rest)) {
    const stands = MEANINGS.get(text[from + 1])
    if (stands === undefined || (stands === '\r' && version === '1.1')) return undefined
    plain += text.slice(rest, from) + stands
    rest = from + 2
  }
  return plain + text.slice(rest)
}

/**
 * Writes escapes. Undefined when the version has no way to say it: in 1.0 a LF would end the line, and a colon in
 * a name the name. (Before 1.2 a CR is a character like others.)
 */
export function escapeHeader(text: string, version: Version, part: 'name' | 'value'): string | undefined {
  if (!/[\r\n:\\]/.test(text)) return text
  if (version === '1.0') return text.includes('\n') || (part === 'name' && text.includes(':')) ? undefined : text
  const escaped = text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll(':', '\\c')
  return version === '1.2' ? escaped.replaceAll('\r', '\\r') : escaped
}

/** For headers that must be written and never need line ends: what would break the line becomes a blank. */
export function oneLine(text: string): string {
  return text.replace(/[\r\n\0]+/g, ' ')
}
