/**
 * Which pages may talk to this server: the rule for HTTP (CORS) and for the WebSocket upgrade, where browsers send the
 * Origin but check nothing themselves (RFC 6455 section 10.2).
 */

export type OriginRule = (origin: string | undefined, host: string | undefined) => boolean

export interface OriginOptions {
  /**
   * Demo mode: anybody gets a token, so the Host must be this machine's loopback. Otherwise a page of another site
   * could reach the server under its own name, by letting that name point here (DNS rebinding).
   */
  readonly loopbackOnly?: boolean
}

/**
 * `allowed`: origins (`https://im.example.org`), all subdomains of one (`https://*.example.org`), or `*`.
 * A request without Origin comes from no page; a server's own pages are always allowed.
 */
export function originAllowed(allowed: readonly string[], { loopbackOnly = false }: OriginOptions = {}): OriginRule {
  const all = allowed.includes('*')
  const exact = new Set(allowed.map((origin) => origin.toLowerCase()))
  const subdomains = allowed.filter((origin) => origin.includes('://*.')).map((origin) => origin.toLowerCase())

  return (origin, host) => {
    if (loopbackOnly && !isLoopback(host)) return false
    if (origin === undefined || all) return true
    const asked = parsed(origin)
    if (asked === undefined) return false
    if (host !== undefined && asked.host === parsed(`${asked.protocol}//${host}`)?.host) return true
    if (exact.has(asked.origin)) return true
    return subdomains.some((pattern) => isSubdomain(asked, pattern))
  }
}

/** URL leaves out the scheme's own port and lowers the name, so that equal origins become equal texts. */
function parsed(text: string): URL | undefined {
  return /^https?:\/\/[^/?#@]+$/i.test(text) && URL.canParse(text) ? new URL(text) : undefined
}

function isSubdomain(asked: URL, pattern: string): boolean {
  const base = new URL(pattern.replace('://*.', '://'))
  return asked.protocol === base.protocol && asked.port === base.port && asked.hostname.endsWith(`.${base.hostname}`)
}

/** `localhost`, names below it (RFC 6761 section 6.3), 127.0.0.0/8, ::1; with or without a port. */
export function isLoopback(host: string | undefined): boolean {
  const name = host === undefined ? undefined : parsed(`http://${host}`)?.hostname
  if (name === undefined) return false
  return name === 'localhost' || name.endsWith('.localhost') || name === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(name)
}
