/** Several whole servers in this process, on one Redis, by the machine's own clock. */

import { systemClock } from '../../broker/clock.ts'
import { readConfig } from '../../src/config.ts'
import type { Log } from '../../src/log.ts'
import { startServer } from '../../src/server.ts'
import { type Answer, type ArrivalOptions, type AskOptions, Device, SECRET, tokenFor } from './story.ts'

export const ADMIN_KEY = 'a key for operators that has 32 characters'

export interface Server {
  readonly url: string
  readonly name: string
  /** What it has logged as an error, which nobody expects. */
  readonly errors: unknown[]
  arrives(user: string, name?: string, options?: ArrivalOptions): Promise<Device>
  asks(user: string, path: string, body?: unknown, options?: AskOptions): Promise<Answer>
  /** An operator looks. */
  looks(path: string): Promise<unknown>
  /** Fulfilled when it has seen that a session of this user has lost its connection. */
  misses(user: string): Promise<void>
  /** Numbers of /metrics. */
  counts(metric: string): Promise<number>
  /** All devices that have arrived here say good-bye. */
  leaves(): Promise<void>
  stops(): Promise<void>
}

let servers = 0

export async function serverOn(redisUrl: string, env: Record<string, string> = {}): Promise<Server> {
  const name = `node${servers++}`
  const config = readConfig({
    HOST: '127.0.0.1',
    PORT: '0',
    AUTH_JWT_SECRET: SECRET,
    TURN_ENABLED: 'false',
    DATABASE_URL: 'none',
    REDIS_URL: redisUrl,
    NODE_NAME: name,
    ADMIN_KEY,
    ...env,
  })
  const errors: unknown[] = []
  const away: string[] = []
  const wake: (() => void)[] = []
  const log: Log = {
    debug({ user }: { user?: string }, message) {
      if (message !== 'session away') return
      away.push(user ?? '')
      for (const one of wake.splice(0)) one()
    },
    info: () => undefined,
    warn: () => undefined,
    error: (facts, message) => void errors.push([message, facts]),
    child: () => log,
  }
  const { url, stop } = await startServer(config, { clock: systemClock, log })
  const devices: Device[] = []
  const ask = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(url + path, init)
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  return {
    url,
    name,
    errors,
    async arrives(user, device = 'phone', options = {}) {
      const token = options.token ?? (await tokenFor(user))
      const arriving = new Device(url, user, device, token, options)
      devices.push(arriving)
      await arriving.connects()
      return arriving
    },
    async asks(user, path, body, options = {}) {
      return ask(path, {
        method: options.method ?? 'POST',
        headers: { ide: options.token ?? (await tokenFor(user)), ...options.headers },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    },
    looks: async (path) => (await ask(path, { headers: { 'X-Admin-Key': ADMIN_KEY } })).body.data,
    async misses(user) {
      while (!away.includes(user)) await new Promise<void>((resolve) => wake.push(resolve))
      away.splice(away.indexOf(user), 1)
    },
    async counts(metric) {
      const text = await (await fetch(`${url}/metrics`)).text()
      return Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${metric} `))
          ?.split(' ')[1],
      )
    },
    async leaves() {
      await Promise.all(devices.map((device) => device.leaves()))
    },
    stops: stop,
  }
}
