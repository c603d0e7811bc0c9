import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { envExample } from '../../docs/env-example.ts'
import { ConfigError, type Machine, readConfig } from '../../src/config.ts'
import { VARIABLES, type VariableName } from '../../src/variables.ts'
import { CERTIFICATES } from '../support/certificates.ts'

const SECRET = 'a secret of more than thirty-two bytes'

const machine: Machine = {
  readFile(path) {
    if (path === '/keys/issuer.pem') return pem
    throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
  },
  addresses: () => ['192.0.2.7', '2001:db8::7'],
  name: () => 'this-machine',
  secret: () => 'made for this run',
}

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString()

type Env = Record<string, string>
const read = (env: Env = {}) => readConfig(env, machine)

function refusal(env: Env): ConfigError {
  try {
    read(env)
  } catch (error) {
    if (error instanceof ConfigError) return error
    throw error
  }
  throw new Error('the configuration was accepted')
}

const names = (env: Env) => refusal(env).complaints.map(({ name }) => name)

describe('demo mode', () => {
  test('is what an empty environment gives: a secret made for this run, on 127.0.0.1 only', () => {
    const { demo, http, auth, turn } = read()
    expect({ demo, host: http.host, port: http.port, key: auth.key }).toEqual({
      demo: true,
      host: '127.0.0.1',
      port: 8080,
      key: { kind: 'secret', secret: 'made for this run' },
    })
    expect(turn.relay).toMatchObject({
      listenIps: ['127.0.0.1'],
      publicIps: ['127.0.0.1'],
      allowPeers: ['127.0.0.0/8'],
      tls: { port: 5349, certificate: 'self-made' },
    })
    expect(turn.relay?.tls).not.toHaveProperty('host')
  })

  test('makes another secret at every start', () => {
    const secretOf = () => JSON.stringify(readConfig({}).auth.key)
    expect(secretOf()).not.toBe(secretOf())
  })

  test.each(['0.0.0.0', '192.168.1.2', '::'])('refuses HOST=%s, because anybody gets a token', (HOST) => {
    expect(refusal({ HOST }).message).toMatch(/HOST: in demo mode .* 127\.0\.0\.1 only/)
  })

  test('takes HOST=localhost for 127.0.0.1', () => {
    expect(read({ HOST: 'localhost' }).http.host).toBe('127.0.0.1')
  })

  test('does not exist with NODE_ENV=production, and the message says what to set', () => {
    expect(refusal({ NODE_ENV: 'production' }).message).toMatch(/set AUTH_JWT_SECRET, AUTH_PUBLIC_KEY or AUTH_JWKS_URL/)
    expect(read({ NODE_ENV: 'production', AUTH_JWT_SECRET: SECRET }).demo).toBe(false)
  })

  test('never checks an issuer that nobody issues for', () => {
    const { auth, warnings } = read({ AUTH_ISSUER: 'https://id.example.org' })
    expect(auth.issuers).toEqual([])
    expect(warnings.join()).toMatch(/no effect in demo mode/)
  })
})

describe('the role of back ends', () => {
  test('is `service`, in the claims where issuers put roles', () => {
    const services = { claims: ['role', 'roles', 'scope'], role: 'service' }
    expect(read({ AUTH_JWT_SECRET: SECRET }).auth.services).toEqual(services)
  })

  test('and its claim may be others', () => {
    const env = { AUTH_JWT_SECRET: SECRET, AUTH_ROLE_CLAIM: 'realm_access.roles', AUTH_SERVICE_ROLE: 'caller' }
    expect(read(env).auth.services).toEqual({ claims: ['realm_access.roles'], role: 'caller' })
    expect(refusal({ AUTH_SERVICE_ROLE: 'two words' }).message).toMatch(/AUTH_SERVICE_ROLE: must be one word/)
  })
})

describe('the key', () => {
  test('may be a secret; then the server listens on all addresses', () => {
    const { demo, auth, http, turn } = read({ AUTH_JWT_SECRET: SECRET })
    expect({ demo, key: auth.key, host: http.host }).toEqual({
      demo: false,
      key: { kind: 'secret', secret: SECRET },
      host: '0.0.0.0',
    })
    expect(turn.relay).toMatchObject({
      listenIps: ['0.0.0.0', '::'],
      publicIps: ['192.0.2.7', '2001:db8::7'],
      allowPeers: [],
      denyPeers: [],
      workers: 1,
    })
    expect(turn.relay).not.toHaveProperty('tls')
  })

  test.each([
    ['PEM', pem],
    ['PEM with \\n for line ends', pem.replaceAll('\n', '\\n')],
    ['a path', '/keys/issuer.pem'],
    ['a file: path', 'file:/keys/issuer.pem'],
    ['a file: URL', 'file:///keys/issuer.pem'],
  ])('may be a public key as %s', (_, AUTH_PUBLIC_KEY) => {
    const { key } = read({ AUTH_PUBLIC_KEY }).auth
    expect(key).toMatchObject({ kind: 'public-key', algorithms: ['EdDSA', 'Ed25519'] })
  })

  test.each([
    ['a private key', privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), /private key; .* public one/],
    ['no PEM', '-----BEGIN PUBLIC KEY-----\nxyz', /is not a public key in PEM/],
    ['a file that is not there', '/keys/none.pem', /file that can be read \(ENOENT\)/],
  ])('is refused as %s, without repeating it', (_, AUTH_PUBLIC_KEY, complaint) => {
    const { message } = refusal({ AUTH_PUBLIC_KEY })
    expect(message).toMatch(complaint)
    expect(message).not.toContain(AUTH_PUBLIC_KEY)
  })

  test('may be a JWKS address', () => {
    const url = 'https://id.example.org/jwks.json'
    expect(read({ AUTH_JWKS_URL: url }).auth.key).toEqual({ kind: 'jwks', url })
    expect(names({ AUTH_JWKS_URL: 'ftp://id.example.org/' })).toEqual(['AUTH_JWKS_URL'])
  })

  test('must be the only one', () => {
    const url = 'https://id.example.org/jwks.json'
    expect(names({ AUTH_JWT_SECRET: SECRET, AUTH_JWKS_URL: url })).toEqual(['AUTH_JWKS_URL'])
    expect(refusal({ AUTH_JWT_SECRET: SECRET, AUTH_PUBLIC_KEY: pem }).message).toMatch(/beside AUTH_JWT_SECRET/)
  })

  test('gets a warning when it is a short secret', () => {
    expect(read({ AUTH_JWT_SECRET: 'short' }).warnings.join()).toMatch(/less than 32 bytes \(RFC 7518/)
    expect(read({ AUTH_JWT_SECRET: SECRET }).warnings.join()).not.toMatch(/RFC 7518/)
  })
})

describe('the relay', () => {
  const key = { AUTH_JWT_SECRET: SECRET }
  const relayOf = (env: Env) => read({ ...key, ...env }).turn.relay

  test('may have an address of each family, but no second one of it, and never 0.0.0.0', () => {
    expect(relayOf({ TURN_LISTEN_IP: '::' })).toMatchObject({ listenIps: ['::'], publicIps: ['2001:db8::7'] })
    const both = { TURN_LISTEN_IP: '10.0.0.5, fd00::5', TURN_PUBLIC_IP: '203.0.113.5,2001:db8::5' }
    expect(relayOf(both)).toMatchObject({
      listenIps: ['10.0.0.5', 'fd00::5'],
      publicIps: ['203.0.113.5', '2001:db8::5'],
    })
    expect(names({ ...key, TURN_PUBLIC_IP: '192.0.2.1,192.0.2.2' })).toEqual(['TURN_PUBLIC_IP'])
    expect(names({ ...key, TURN_LISTEN_IP: '0.0.0.0', TURN_PUBLIC_IP: '2001:db8::1' })).toEqual(['TURN_PUBLIC_IP'])
    expect(names({ ...key, TURN_PUBLIC_IP: '0.0.0.0' })).toEqual(['TURN_PUBLIC_IP'])
  })

  test('listens in the families of the addresses that clients are told', () => {
    expect(relayOf({ TURN_PUBLIC_IP: '2001:db8::1' })?.listenIps).toEqual(['::'])
    expect(relayOf({ TURN_PUBLIC_IP: '203.0.113.5' })?.listenIps).toEqual(['0.0.0.0'])
  })

  test('gets this machine’s first addresses, with a warning, when none is configured', () => {
    const { turn, warnings } = read(key)
    expect(turn.relay?.publicIps).toEqual(['192.0.2.7', '2001:db8::7'])
    expect(warnings.join()).toMatch(/TURN_PUBLIC_IP is not set; clients are told 192\.0\.2\.7/)
  })

  test('tells nobody of an IPv6 address that is not of the open internet', () => {
    const local: Machine = { ...machine, addresses: () => ['192.0.2.7', 'fd00::7'] }
    expect(readConfig(key, local).turn.relay).toMatchObject({ listenIps: ['0.0.0.0'], publicIps: ['192.0.2.7'] })
    const named = readConfig({ ...key, TURN_LISTEN_IP: '::' }, local)
    expect(named.turn.relay?.publicIps).toEqual(['fd00::7'])
  })

  test('gives way to TURN_URLS, which need the secret of that relay', () => {
    const TURN_URLS = 'turn:turn.example.org:3478?transport=udp, turns:turn.example.org:5349'
    expect(names({ TURN_URLS })).toEqual(['TURN_SECRET'])
    const { turn } = read({ TURN_URLS, TURN_SECRET: SECRET })
    expect(turn).toMatchObject({
      secrets: [SECRET],
      stunUrls: [],
      regions: [{ urls: ['turn:turn.example.org:3478?transport=udp', 'turns:turn.example.org:5349'] }],
    })
    expect(turn.relay).toBeUndefined()
    expect(names({ TURN_URLS, TURN_SECRET: SECRET, TURN_ENABLED: 'true' })).toEqual(['TURN_ENABLED'])
  })

  test('may be several in several regions', () => {
    const TURN_URLS = 'eu=turn:eu.example.org?transport=udp,turns:eu.example.org; us = turn:us.example.org ;turn:x'
    expect(read({ TURN_URLS, TURN_SECRET: SECRET }).turn.regions).toEqual([
      { name: 'eu', urls: ['turn:eu.example.org?transport=udp', 'turns:eu.example.org'] },
      { name: 'us', urls: ['turn:us.example.org'] },
      { urls: ['turn:x'] },
    ])
    for (const wrong of ['eu=turn:a;eu=turn:b', 'eu=', 'eu=http://x', 'e u=turn:a']) {
      expect(names({ TURN_URLS: wrong, TURN_SECRET: SECRET })).toEqual(['TURN_URLS'])
    }
  })

  test('is off with TURN_ENABLED=false', () => {
    const { turn } = read({ TURN_ENABLED: 'false', STUN_URLS: 'stun:stun.example.org' })
    expect(turn).toMatchObject({ stunUrls: ['stun:stun.example.org'], regions: [] })
    expect(turn.relay).toBeUndefined()
  })

  test('is refused a stun: address that browsers would throw at', () => {
    expect(names({ STUN_URLS: 'stun:stun.example.org:3478?transport=udp' })).toEqual(['STUN_URLS'])
  })

  test('takes the secret of before beside the present one, which alone makes credentials', () => {
    const previous = 'the secret of the year before'
    expect(read({ TURN_SECRET: SECRET, TURN_SECRET_PREVIOUS: previous }).turn.secrets).toEqual([SECRET, previous])
    expect(names({ TURN_SECRET_PREVIOUS: previous })).toEqual(['TURN_SECRET'])
    const { turn, warnings } = read({ TURN_URLS: 'turn:x', TURN_SECRET: SECRET, TURN_SECRET_PREVIOUS: previous })
    expect(turn.secrets).toEqual([SECRET])
    expect(warnings.join()).toMatch(/TURN_SECRET_PREVIOUS has no effect/)
  })

  test.each(['TURN_SECRET', 'TURN_SECRET_PREVIOUS'])('is refused a short %s, which is not repeated', (name) => {
    const { message } = refusal({ TURN_SECRET: SECRET, [name]: 'fifteen letters' })
    expect(message).toMatch(new RegExp(`${name}: must have 16 or more characters`))
    expect(message).not.toContain('fifteen')
  })

  test('has a port for each worker, which are no ports of TLS and not that of HTTP', () => {
    expect(relayOf({ TURN_WORKERS: '4' })).toMatchObject({ workers: 4, port: 3478 })
    expect(names({ ...key, TURN_WORKERS: '2', TURN_PORT: '65535' })).toEqual(['TURN_PORT'])
    expect(names({ ...key, PORT: '3479', TURN_WORKERS: '2' })).toEqual(['TURN_PORT'])
    expect(names({ TURN_WORKERS: '2', TURN_TLS_PORT: '3479' })).toEqual(['TURN_TLS_PORT'])
    expect(names({ TURN_TLS_PORT: '8080' })).toEqual(['TURN_TLS_PORT'])
    expect(names({ TURN_WORKERS: '3', TURN_MIN_PORT: '50000', TURN_MAX_PORT: '50001' })).toEqual(['TURN_MAX_PORT'])
    expect(relayOf({ PORT: '0', TURN_PORT: '0', TURN_WORKERS: '2' })).toMatchObject({ port: 0 })
  })

  test('takes any free port for TLS where it takes any free one at all', () => {
    expect(read({ TURN_PORT: '0' }).turn.relay?.tls?.port).toBe(0)
    expect(read({ TURN_PORT: '0', TURN_TLS_PORT: '5350' }).turn.relay?.tls?.port).toBe(5350)
  })
})

describe('the certificate of the relay', () => {
  const files: Record<string, string> = {
    '/tls/name.crt': CERTIFICATES.name,
    '/tls/address.crt': CERTIFICATES.address,
    '/tls/wildcard.crt': CERTIFICATES.wildcard,
    '/tls/any.key': CERTIFICATES.key,
    '/tls/other.key': privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
  const withFiles: Machine = {
    ...machine,
    readFile(path) {
      const text = files[path]
      if (text !== undefined) return text
      throw Object.assign(new Error('no such file'), { code: 'ENOENT' })
    },
  }
  const env = (name: string, more: Env = {}): Env => ({
    AUTH_JWT_SECRET: SECRET,
    TURN_TLS_CERT: `/tls/${name}.crt`,
    TURN_TLS_KEY: '/tls/any.key',
    ...more,
  })
  const tlsOf = (given: Env) => readConfig(given, withFiles).turn.relay?.tls
  const complaint = (given: Env) => {
    try {
      readConfig(given, withFiles)
    } catch (error) {
      return (error as Error).message
    }
    return 'accepted'
  }

  test('says by which name clients reach it', () => {
    expect(tlsOf(env('name'))).toEqual({
      port: 5349,
      certificate: { certFile: '/tls/name.crt', keyFile: '/tls/any.key' },
      host: 'turn.example.org',
    })
  })

  test('may be for the public address', () => {
    expect(tlsOf(env('address', { TURN_PUBLIC_IP: '203.0.113.5' }))?.host).toBe('203.0.113.5')
    expect(complaint(env('address', { TURN_PUBLIC_IP: '203.0.113.6' }))).toMatch(/TURN_HOST: is needed/)
  })

  test('of a wildcard needs TURN_HOST', () => {
    expect(complaint(env('wildcard'))).toMatch(/TURN_HOST: is needed/)
    expect(tlsOf(env('wildcard', { TURN_HOST: 'turn.example.org' }))?.host).toBe('turn.example.org')
  })

  test('of another name than TURN_HOST gets a warning', () => {
    const { warnings } = readConfig(env('name', { TURN_HOST: 'turn.example.com' }), withFiles)
    expect(warnings.join()).toMatch(/turn\.example\.com is not a name in the certificate/)
  })

  test.each([
    ['without its key', { TURN_TLS_KEY: '' }, /TURN_TLS_KEY: is needed with TURN_TLS_CERT/],
    ['as a key alone', { TURN_TLS_CERT: '' }, /TURN_TLS_CERT: is needed with TURN_TLS_KEY/],
    ['with another key', { TURN_TLS_KEY: '/tls/other.key' }, /TURN_TLS_KEY: is not the key of the certificate/],
    ['that is not there', { TURN_TLS_CERT: '/tls/no.crt' }, /TURN_TLS_CERT: the file cannot be read \(ENOENT\)/],
    ['that is none', { TURN_TLS_CERT: '/tls/any.key' }, /TURN_TLS_CERT: the file is not a certificate in PEM/],
    ['with a key that is none', { TURN_TLS_KEY: '/tls/name.crt' }, /TURN_TLS_KEY: the file is not a private key/],
  ])('is refused %s', (_, more, message) => {
    expect(complaint(env('name', more))).toMatch(message)
  })

  test('is what TURN_TLS_PORT is for', () => {
    expect(read({ AUTH_JWT_SECRET: SECRET, TURN_TLS_PORT: '443' }).warnings.join()).toMatch(
      /TURN_TLS_PORT has no effect/,
    )
  })
})

describe('a wrong value', () => {
  const wrong: readonly (readonly [VariableName, string])[] = [
    ['PORT', '65536'],
    ['PORT', '80a'],
    ['PORT', '-1'],
    ['HOST', 'http://x'],
    ['TRUSTED_PROXIES', '10.0.0.0/33'],
    ['ALLOWED_ORIGINS', 'im.example.org'],
    ['ALLOWED_ORIGINS', 'https://im.example.org/'],
    ['RING_TIMEOUT_MS', '30s'],
    ['TURN_ENABLED', 'yes'],
    ['TURN_PORT', '65536'],
    ['TURN_LISTEN_IP', 'localhost'],
    ['TURN_PUBLIC_IP', '1.2.3'],
    ['TURN_TTL_S', '0'],
    ['TURN_URLS', 'http://turn'],
    ['TURN_HOST', '192.0.2.1'],
    ['TURN_HOST', 'turn:x'],
    ['TURN_WORKERS', '0'],
    ['TURN_REALM', 'carillon.'],
    ['TURN_DENY_PEERS', 'localhost'],
    ['TURN_ALLOW_PEERS', '10.0.0.0/8/8'],
    ['PRESENCE_SCOPE', 'some'],
    ['OPEN_DESTINATIONS', '/app/x'],
    ['OPEN_DESTINATIONS', '/topic/user/status'],
    ['LIMIT_FRAME_BYTES', '1e9'],
    ['LIMIT_CONNECTIONS', '0'],
    ['LOG_LEVEL', 'loud'],
  ]
  test.each(wrong)('%s=%s is named with what is wrong and an example', (name, value) => {
    const { message } = refusal({ AUTH_JWT_SECRET: SECRET, TURN_SECRET: SECRET, [name]: value })
    expect(message).toMatch(new RegExp(`^ {2}${name}: .+ \\(for example ${name}=.+\\)$`, 'm'))
  })

  test('is told together with all other wrong values', () => {
    expect(names({ PORT: 'x', LOG_LEVEL: 'loud', TURN_TTL_S: '0' })).toEqual(['PORT', 'TURN_TTL_S', 'LOG_LEVEL'])
  })

  test('may be wrong only beside another one', () => {
    expect(names({ TURN_MIN_PORT: '50000', TURN_MAX_PORT: '49999' })).toEqual(['TURN_MAX_PORT'])
    const tight = { LIMIT_FRAME_BYTES: '16777216', LIMIT_BUFFERED_BYTES: '65536' }
    expect(refusal(tight).message).toMatch(/LIMIT_BUFFERED_BYTES=16777216/)
    expect(names({ LIMIT_FRAME_BYTES: 'x', LIMIT_BUFFERED_BYTES: '1024' })).toEqual(['LIMIT_FRAME_BYTES'])
  })
})

test('who raises the largest frame raises what it must fit into', () => {
  const { limits } = read({ LIMIT_FRAME_BYTES: '16777216' }).broker
  expect([limits.frameBytes, limits.queuedBytes, limits.bufferedBytes]).toEqual(Array(3).fill(16_777_216))
})

test('empty text counts as unset, and blanks around a value do not count', () => {
  expect(read({ PORT: '', ALLOWED_ORIGINS: ' ', AUTH_JWT_SECRET: '' })).toEqual(read())
  expect(read({ PORT: ' 0 ' }).http.port).toBe(0)
})

test('lists are split at commas', () => {
  const { http, broker } = read({
    ALLOWED_ORIGINS: 'https://im.example.org, https://*.example.com,*',
    OPEN_DESTINATIONS: '/topic/news.*,/queue/jobs.*',
  })
  expect(http.allowedOrigins).toEqual(['https://im.example.org', 'https://*.example.com', '*'])
  expect(broker.open).toEqual(['/topic/news.*', '/queue/jobs.*'])
})

test('a variable that looks like ours and is not gets a warning with the name that may be meant', () => {
  expect(read({ AUTH_JWT_SECERT: SECRET, TURN_COLOUR: 'red', HOME: '/' }).warnings).toEqual(
    expect.arrayContaining([
      'AUTH_JWT_SECERT is not a variable of this server and is ignored; do you mean AUTH_JWT_SECRET?',
      'TURN_COLOUR is not a variable of this server and is ignored',
    ]),
  )
})

describe('.env.example', () => {
  const text = readFileSync('.env.example', 'utf8')
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  const env = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  )

  test('names every variable, and no other, with its default', () => {
    const defaults = Object.entries(VARIABLES).map(([name, { fallback }]) => [name, fallback ?? ''])
    expect(env).toEqual(Object.fromEntries(defaults))
  })

  test('explains each in the line above', () => {
    for (const [name, { explanation }] of Object.entries(VARIABLES)) {
      expect(text).toMatch(new RegExp(`# ${escaped(explanation)}\n(# Example: .*\n)?${name}=`))
    }
  })

  test('changes nothing when it is copied to .env', () => {
    expect(read(env)).toEqual(read())
  })

  test('is what `npm run docs` prints', () => {
    expect(text).toBe(envExample())
  })

  test('shows examples that are accepted', () => {
    for (const [name, { form, example, secret }] of Object.entries(VARIABLES)) {
      if (!secret) expect([name, form.safeParse(example).success]).toEqual([name, true])
    }
  })
})

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

describe('the key of operators', () => {
  test('is none unless one is set', () => {
    expect(read({ AUTH_JWT_SECRET: SECRET }).http).not.toHaveProperty('adminKey')
    expect(read({ ADMIN_KEY: 'x'.repeat(32) }).http.adminKey).toBe('x'.repeat(32))
  })

  test('must be long, and is not repeated in the complaint', () => {
    const { message } = refusal({ ADMIN_KEY: 'short-key' })
    expect(message).toMatch(/ADMIN_KEY: must have 32 or more characters/)
    expect(message).not.toContain('short-key')
  })
})

describe('Redis', () => {
  const AUTH = { AUTH_JWT_SECRET: SECRET }

  test('is not there unless an address is given', () => {
    expect(read(AUTH).redis).toBeUndefined()
    expect(read(AUTH).nodeName).toBe('this-machine')
  })

  test('is one server, with what its address says of user, password, database and TLS', () => {
    const { redis } = read({ ...AUTH, REDIS_URL: 'rediss://carl:p%40ss@[::1]:7000/3', NODE_NAME: 'a' })
    expect(redis).toEqual({
      mode: 'single',
      servers: [{ host: '::1', port: 7000 }],
      access: { tls: true, username: 'carl', password: 'p@ss', database: 3 },
      prefix: 'carillon:',
    })
    expect(read({ ...AUTH, REDIS_URL: 'redis://r' }).redis?.servers).toEqual([{ host: 'r', port: 6379 }])
  })

  test('may be a Cluster, or known to Sentinels under a name', () => {
    const cluster = read({ ...AUTH, REDIS_MODE: 'cluster', REDIS_URL: 'redis://a:1, redis://b:2', REDIS_PREFIX: 'x:' })
    expect(cluster.redis).toMatchObject({ mode: 'cluster', prefix: 'x:', servers: [{ port: 1 }, { port: 2 }] })
    const sentinel = { REDIS_MODE: 'sentinel', REDIS_URL: 'redis://a,redis://b:2', REDIS_SENTINEL_NAME: 'm' }
    expect(read({ ...AUTH, ...sentinel }).redis).toMatchObject({
      mode: 'sentinel',
      sentinelName: 'm',
      servers: [
        { host: 'a', port: 26_379 },
        { host: 'b', port: 2 },
      ],
    })
  })

  test.each([
    [{ REDIS_URL: 'http://a' }, ['REDIS_URL']],
    [{ REDIS_URL: 'redis://a/b' }, ['REDIS_URL']],
    [{ REDIS_URL: 'redis://a,redis://b' }, ['REDIS_MODE']],
    [{ REDIS_URL: 'redis://a,redis://:p@b', REDIS_MODE: 'cluster' }, ['REDIS_URL']],
    [{ REDIS_URL: 'redis://a/1', REDIS_MODE: 'cluster' }, ['REDIS_URL']],
    [{ REDIS_URL: 'redis://a', REDIS_MODE: 'sentinel' }, ['REDIS_SENTINEL_NAME']],
    [{ REDIS_MODE: 'cluster' }, ['REDIS_URL']],
    [{ REDIS_URL: 'redis://a', REDIS_PREFIX: '{x}' }, ['REDIS_PREFIX']],
  ])('names the variable that is wrong: %j', (env, wrong) => {
    expect(names({ ...AUTH, ...env })).toEqual(wrong)
  })

  test('its password is in no message', () => {
    const { message } = refusal({ ...AUTH, REDIS_URL: 'redis://:hunter2@a/x' })
    expect(message).toContain('REDIS_URL')
    expect(message).not.toContain('hunter2')
  })

  test('warns in demo mode, where servers do not take the tokens of each other', () => {
    expect(read({ REDIS_URL: 'redis://a' }).warnings.join()).toContain('secret of its own')
  })
})

describe('webhooks', () => {
  const SET: Env = {
    AUTH_JWT_SECRET: SECRET,
    TURN_ENABLED: 'false',
    WEBHOOK_URL: 'https://im.example.org/hooks',
    WEBHOOK_SECRET: 'sixteen letters!',
  }

  test('are off unless there is an address', () => {
    expect(read({ AUTH_JWT_SECRET: SECRET }).webhooks).toBeUndefined()
    const { webhooks, warnings } = read({ ...SET, WEBHOOK_URL: '' })
    expect(webhooks).toBeUndefined()
    expect(warnings).toEqual([expect.stringMatching(/^WEBHOOK_SECRET has no effect/)])
  })

  test('tell every event, or those that are named', () => {
    expect(read(SET).webhooks?.events).toHaveLength(7)
    expect(read({ ...SET, WEBHOOK_EVENTS: 'call.ring, call.missed' }).webhooks).toEqual({
      url: SET.WEBHOOK_URL,
      secret: SET.WEBHOOK_SECRET,
      events: ['call.ring', 'call.missed'],
    })
    expect(names({ ...SET, WEBHOOK_EVENTS: 'call.rang' })).toEqual(['WEBHOOK_EVENTS'])
  })

  test('need a secret that cannot be guessed', () => {
    expect(names({ ...SET, WEBHOOK_SECRET: '' })).toEqual(['WEBHOOK_SECRET'])
    expect(names({ ...SET, WEBHOOK_SECRET: 'fifteen letters' })).toEqual(['WEBHOOK_SECRET'])
  })

  test('go to http and https addresses only, and a wrong one is not repeated: it may hold a secret', () => {
    for (const url of ['ftp://example.org', 'im.example.net/hooks', 'https://user:pass@example.org/']) {
      const error = refusal({ ...SET, WEBHOOK_URL: url })
      expect(error.complaints.map(({ name }) => name)).toEqual(['WEBHOOK_URL'])
      expect(error.message).not.toContain(url)
    }
  })

  test('without TLS are warned of, unless they stay on the machine', () => {
    expect(read({ ...SET, WEBHOOK_URL: 'http://back-end:3000/hooks' }).warnings).toEqual([
      expect.stringMatching(/^WEBHOOK_URL is reached without TLS/),
    ])
    for (const host of ['127.0.0.1:3000', 'localhost', '[::1]']) {
      expect(read({ ...SET, WEBHOOK_URL: `http://${host}/hooks` }).warnings).toEqual([])
    }
  })
})

describe('the history', () => {
  const keyed = { AUTH_JWT_SECRET: SECRET }

  test('is in a file of SQLite, beside which calls wait, for a year', () => {
    expect(read(keyed).history).toEqual({
      url: 'sqlite:./data/carillon.db',
      days: 365,
      spoolBytes: 256 * 1024 * 1024,
      folder: './data',
    })
    expect(read({ ...keyed, DATABASE_URL: 'sqlite:/var/lib/calls.db' }).history?.folder).toBe('/var/lib')
    expect(read({ ...keyed, DATABASE_URL: 'sqlite::memory:' }).history).not.toHaveProperty('folder')
    expect(read({ ...keyed, DATABASE_URL: 'postgres://h/d', DATA_DIR: '/spool' }).history?.folder).toBe('/spool')
  })

  test('is kept nowhere with none', () => {
    expect(read({ ...keyed, DATABASE_URL: 'none' }).history).toBeUndefined()
  })

  test('of several servers in SQLite gets a warning', () => {
    const several = { ...keyed, REDIS_URL: 'redis://h', TURN_ENABLED: 'false' }
    expect(read(several).warnings).toEqual([expect.stringMatching(/^DATABASE_URL is SQLite: with several servers/)])
    for (const DATABASE_URL of ['none', 'postgres://h/d'])
      expect(read({ ...several, DATABASE_URL }).warnings).toEqual([])
  })

  test('in a database that nobody can find is refused, without its password', () => {
    const { message } = refusal({ ...keyed, DATABASE_URL: 'postgres://user:secret-word@host' })
    expect(message).toContain('DATABASE_URL: postgres: the name of the database is missing')
    expect(message).not.toContain('secret-word')
    expect(names({ ...keyed, DATABASE_URL: 'mysql://host/x', HISTORY_DAYS: '-1' })).toEqual([
      'DATABASE_URL',
      'HISTORY_DAYS',
    ])
  })
})
