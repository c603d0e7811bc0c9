/** Query parameters of a request's address, as the broker's {@link Peer} has them. */

/** Of a repeated parameter the first; null prototype, for the names are the peer's. Never throws. */
export function queryOf(url: string): Readonly<Record<string, string>> {
  const query: Record<string, string> = Object.create(null)
  const mark = url.indexOf('?')
  if (mark < 0) return query
  for (const [name, value] of new URLSearchParams(url.slice(mark + 1))) if (!(name in query)) query[name] = value
  return query
}
