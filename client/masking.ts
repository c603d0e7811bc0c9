/** What a debugger may show of a frame: everything but what lets somebody in. */

const SECRET_HEADERS = new Set(['ide', 'authorization', 'passcode', 'resume-id'])
const MASK = '•••'

export function headersAsShown(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, SECRET_HEADERS.has(name.toLowerCase()) ? MASK : value]),
  )
}

/** TURN passwords, and tokens that replace others, are the only secrets that travel in bodies. */
export function bodyAsShown(body: string): string {
  return body.replace(/("(?:credential|token)"\s*:\s*)"(?:[^"\\]|\\.)*"/g, `$1"${MASK}"`)
}
