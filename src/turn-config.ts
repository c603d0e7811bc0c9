/**
 * The part of the configuration that is about STUN and TURN: which relay, at which addresses and ports, with which
 * secrets and certificate, and what of it clients are told.
 */

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { isIP, isIPv6 } from 'node:net'
import type { Machine } from './machine.ts'
import type { Notes, Region, Settings } from './variables.ts'

/** The bundled relay, in the words of its own options. */
export interface RelayConfig {
  /** Child processes: the first one takes the ports named here, the others those that follow. */
  readonly workers: number
  /** UDP and TCP; 0: any free one. */
  readonly port: number
  readonly listenIps: readonly string[]
  /** One of a family at most. */
  readonly publicIps: readonly string[]
  /** What clients are told instead of the addresses. */
  readonly host?: string
  readonly tls?: RelayTls
  readonly minPort: number
  readonly maxPort: number
  readonly realm: string
  /** As long as credentials are handed out for. */
  readonly maxCredentialSeconds: number
  readonly allocationSeconds: number
  readonly allocationsPerUser: number
  /** Of all workers together. */
  readonly allocations: number
  /** Per allocation; 0: no bound. */
  readonly bytesPerSecond: number
  /** Address ranges (CIDR) that are not denied although they are private. */
  readonly allowPeers: readonly string[]
  /** Address ranges that are denied whatever else is said of them. */
  readonly denyPeers: readonly string[]
}

export interface RelayTls {
  /** 0: any free one. */
  readonly port: number
  readonly certificate: { readonly certFile: string; readonly keyFile: string } | 'self-made'
  /** What clients are told: the name or address that the certificate is for. None: they are not told of TLS. */
  readonly host?: string
}

export interface TurnConfig {
  /** Credentials are made with the first one; the bundled relay takes those of any. */
  readonly secrets: readonly [string, ...string[]]
  readonly ttlSeconds: number
  /** An operator's own servers, named instead of those of the relay. */
  readonly stunUrls: readonly string[]
  /** An external relay, in one region or several. */
  readonly regions: readonly Region[]
  /** Only where the bundled relay shall run; `regions` is empty then. */
  readonly relay?: RelayConfig
}

/** HMAC-SHA1 of a name that the user knows: whoever has credentials can try secrets as fast as a machine can. */
const SECRET_CHARACTERS = 16

const TLS_PORT = 5349

/** To listen on; no addresses that a client could use. */
const ANY: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

interface Given {
  readonly demo: boolean
  /** Where HTTP listens. */
  readonly host: string
}

export function turnOf(settings: Settings, given: Given, machine: Machine, notes: Notes): TurnConfig {
  const external = settings.TURN_URLS.length > 0
  if (external && settings.TURN_ENABLED === true) {
    notes.wrong(
      'TURN_ENABLED',
      'the bundled relay cannot run beside TURN_URLS, which replace it: leave one of them out',
    )
  }
  if (external && settings.TURN_SECRET === undefined) {
    notes.wrong('TURN_SECRET', 'is needed with TURN_URLS: the secret that the external relay checks credentials with')
  }
  const relay = external || settings.TURN_ENABLED === false ? undefined : relayOf(settings, given, machine, notes)
  return {
    secrets: secretsOf(settings, external, machine, notes),
    ttlSeconds: settings.TURN_TTL_S,
    stunUrls: settings.STUN_URLS,
    regions: settings.TURN_URLS,
    ...(relay && { relay }),
  }
}

function secretsOf(settings: Settings, external: boolean, machine: Machine, notes: Notes): TurnConfig['secrets'] {
  const { TURN_SECRET: present, TURN_SECRET_PREVIOUS: previous } = settings
  for (const name of ['TURN_SECRET', 'TURN_SECRET_PREVIOUS'] as const) {
    const secret = settings[name]
    if (secret !== undefined && secret.length < SECRET_CHARACTERS) {
      notes.wrong(
        name,
        `must have ${SECRET_CHARACTERS} or more characters: every user can try to guess it from own credentials`,
      )
    }
  }
  if (previous !== undefined && present === undefined) {
    notes.wrong('TURN_SECRET', 'is needed with TURN_SECRET_PREVIOUS: the secret that replaces it')
  }
  if (previous !== undefined && external) {
    notes.warn(
      'TURN_SECRET_PREVIOUS has no effect with TURN_URLS: the external relay is told the secrets that it takes',
    )
  }
  return [present ?? machine.secret(), ...(previous === undefined || external ? [] : [previous])]
}

function relayOf(settings: Settings, { demo, host }: Given, machine: Machine, notes: Notes): RelayConfig {
  const addresses = addressesOf(settings, host, machine, notes)
  const name = settings.TURN_HOST
  const tls = tlsOf(settings, { demo, publicIps: addresses.publicIps }, machine, notes)
  checkPorts(settings, tls, notes)
  return {
    workers: settings.TURN_WORKERS,
    port: settings.TURN_PORT,
    ...addresses,
    ...(name !== undefined && { host: name }),
    ...(tls && { tls }),
    minPort: settings.TURN_MIN_PORT,
    maxPort: settings.TURN_MAX_PORT,
    realm: settings.TURN_REALM,
    maxCredentialSeconds: settings.TURN_TTL_S,
    allocationSeconds: settings.TURN_ALLOCATION_LIFETIME_S,
    allocationsPerUser: settings.TURN_ALLOCATIONS_PER_USER,
    allocations: settings.TURN_ALLOCATIONS,
    bytesPerSecond: settings.TURN_BYTES_PER_SECOND,
    allowPeers: settings.TURN_ALLOW_PEERS ?? demoPeers(demo, notes),
    denyPeers: settings.TURN_DENY_PEERS,
  }
}

function demoPeers(demo: boolean, notes: Notes): readonly string[] {
  if (!demo) return []
  notes.warn('demo mode: the relay may reach 127.0.0.0/8, so that calls work on this machine alone')
  return ['127.0.0.0/8']
}

function addressesOf(
  settings: Settings,
  host: string,
  machine: Machine,
  notes: Notes,
): Pick<RelayConfig, 'listenIps' | 'publicIps'> {
  const listenIps =
    settings.TURN_LISTEN_IP ?? (isLoopback(host) ? ['127.0.0.1'] : everywhere(settings.TURN_PUBLIC_IP, machine))
  const publicIps = settings.TURN_PUBLIC_IP ?? publicIpsOf(listenIps, machine, notes)
  const families = publicIps.map(isIP)
  if (new Set(families).size < families.length) {
    notes.wrong('TURN_PUBLIC_IP', 'must be one address of a family (IPv4, IPv6) at most')
  }
  if (families.some((family) => !listenIps.some((ip) => isIP(ip) === family))) {
    notes.wrong(
      'TURN_PUBLIC_IP',
      `must be of the same family (IPv4, IPv6) as TURN_LISTEN_IP, which is ${listenIps.join()}`,
    )
  }
  if (publicIps.some((ip) => ANY.has(ip))) notes.wrong('TURN_PUBLIC_IP', 'must be addresses that clients can reach')
  return { listenIps, publicIps }
}

/** All addresses of the families that clients can be told one of. */
function everywhere(shown: readonly string[] | undefined, machine: Machine): readonly string[] {
  const families = new Set(shown?.map(isIP) ?? [4, ...(machine.addresses().some(isGlobalIPv6) ? [6] : [])])
  return [...(families.has(4) ? ['0.0.0.0'] : []), ...(families.has(6) ? ['::'] : [])]
}

/** RFC 4291 section 2.4 and IANA: what is given out for the open internet. Others are used only when they are named. */
const isGlobalIPv6 = (ip: string) => isIPv6(ip) && /^[23]/.test(ip)

function publicIpsOf(listenIps: readonly string[], machine: Machine, notes: Notes): readonly string[] {
  const families = [...new Set(listenIps.map(isIP))]
  return families.map((family) => {
    const own = listenIps.find((ip) => isIP(ip) === family && !ANY.has(ip))
    if (own !== undefined) return own
    const found = machine.addresses().find((ip) => (family === 4 ? isIP(ip) === 4 : isGlobalIPv6(ip)))
    const taken = found ?? machine.addresses().find((ip) => isIP(ip) === family) ?? (family === 6 ? '::1' : '127.0.0.1')
    notes.warn(`TURN_PUBLIC_IP is not set; clients are told ${taken}, which is right only where they can reach it`)
    return taken
  })
}

function tlsOf(
  settings: Settings,
  { demo, publicIps }: { demo: boolean; publicIps: readonly string[] },
  machine: Machine,
  notes: Notes,
): RelayTls | undefined {
  const { TURN_TLS_CERT: certFile, TURN_TLS_KEY: keyFile, TURN_TLS_PORT: given } = settings
  const port = given ?? (settings.TURN_PORT === 0 ? 0 : TLS_PORT)
  if (certFile !== undefined && keyFile !== undefined) {
    const host = certifiedHost({ certFile, keyFile, name: settings.TURN_HOST, publicIps }, machine, notes)
    return { port, certificate: { certFile, keyFile }, ...(host !== undefined && { host }) }
  }
  if (certFile !== undefined) notes.wrong('TURN_TLS_KEY', 'is needed with TURN_TLS_CERT')
  else if (keyFile !== undefined) notes.wrong('TURN_TLS_CERT', 'is needed with TURN_TLS_KEY')
  // nobody trusts a certificate of our own making: it is there to try TLS with, and clients are not told of it
  else if (demo) return { port, certificate: 'self-made' }
  else if (given !== undefined) notes.warn('TURN_TLS_PORT has no effect without TURN_TLS_CERT and TURN_TLS_KEY')
  return undefined
}

/** What clients shall connect to so that the certificate convinces them. */
function certifiedHost(
  {
    certFile,
    keyFile,
    name,
    publicIps,
  }: { certFile: string; keyFile: string; name?: string | undefined; publicIps: readonly string[] },
  machine: Machine,
  notes: Notes,
): string | undefined {
  const certificate = readPem('TURN_TLS_CERT', certFile, (pem) => new X509Certificate(pem), machine, notes)
  const key = readPem('TURN_TLS_KEY', keyFile, (pem): KeyObject => createPrivateKey(pem), machine, notes)
  if (!certificate || !key) return name
  if (!certificate.checkPrivateKey(key))
    notes.wrong('TURN_TLS_KEY', 'is not the key of the certificate in TURN_TLS_CERT')
  if (name !== undefined) {
    if (certificate.checkHost(name) === undefined) {
      notes.warn(`TURN_HOST ${name} is not a name in the certificate of TURN_TLS_CERT: clients will not trust it`)
    }
    return name
  }
  const found = namesOf(certificate)[0] ?? publicIps.find((ip) => certificate.checkIP(ip) !== undefined)
  if (found === undefined) {
    notes.wrong(
      'TURN_HOST',
      'is needed: the certificate of TURN_TLS_CERT has no name and no address that clients could be told',
    )
  }
  return found
}

/** Names that are no wildcards, as in `DNS:turn.example.org, DNS:*.example.org, IP Address:192.0.2.1`. */
function namesOf({ subjectAltName = '' }: X509Certificate): string[] {
  return subjectAltName.split(', ').flatMap((entry) => /^DNS:([\w.-]+)$/.exec(entry)?.[1] ?? [])
}

function readPem<T>(
  variable: 'TURN_TLS_CERT' | 'TURN_TLS_KEY',
  path: string,
  read: (pem: string) => T,
  machine: Machine,
  notes: Notes,
): T | undefined {
  let pem: string
  try {
    pem = machine.readFile(path)
  } catch (error) {
    notes.wrong(variable, `the file cannot be read (${(error as NodeJS.ErrnoException).code})`)
    return undefined
  }
  try {
    return read(pem)
  } catch {
    const what = variable === 'TURN_TLS_CERT' ? 'a certificate in PEM' : 'a private key in PEM, without a passphrase'
    notes.wrong(variable, `the file is not ${what}`)
    return undefined
  }
}

/** Each worker has a port of its own, and TLS another one; TCP ports are shared with HTTP. */
function checkPorts(settings: Settings, tls: RelayTls | undefined, notes: Notes): void {
  const { TURN_WORKERS: workers, TURN_PORT: port, TURN_MIN_PORT: min, TURN_MAX_PORT: max, PORT: http } = settings
  const plain = portsOf(port, workers)
  const secure = tls ? portsOf(tls.port, workers) : []
  const beyond = `leaves no ports for ${workers} workers`
  if (plain.some((one) => one > 65_535)) notes.wrong('TURN_PORT', beyond)
  if (secure.some((one) => one > 65_535)) notes.wrong('TURN_TLS_PORT', beyond)
  if (secure.some((one) => plain.includes(one))) {
    notes.wrong(
      'TURN_TLS_PORT',
      `must not be a port of TURN_PORT, which has ${workers}: each worker takes the next one`,
    )
  }
  if (http !== 0 && plain.includes(http)) notes.wrong('TURN_PORT', 'must not be PORT: both take it over TCP')
  if (http !== 0 && secure.includes(http)) notes.wrong('TURN_TLS_PORT', 'must not be PORT')
  if (min <= max && max - min + 1 < workers) notes.wrong('TURN_MAX_PORT', `leaves no ports for ${workers} workers`)
}

const portsOf = (first: number, count: number): readonly number[] =>
  first === 0 ? [] : Array.from({ length: count }, (_, each) => first + each)

export function isLoopback(host: string): boolean {
  return host === 'localhost' || /^\[?::1\]?$/.test(host) || /^127\.\d+\.\d+\.\d+$/.test(host)
}
