/** Other STOMP brokers: measured only when asked for, since they have to be installed on the machine. */

import { createRequire } from 'node:module'
import { rabbitmqScript, startRabbitmq } from './rabbitmq.ts'
import type { Contender } from './scenario.ts'
import { type Measured, startStompBrokerJs } from './server.ts'

export type OtherBroker = Extract<Contender, 'rabbitmq' | 'stompBrokerJs'>

/** A broker that is installed, ready to be started. */
export interface Installed {
  readonly name: OtherBroker
  start(): Promise<Measured>
}

/** What they are called on the command line, and how they get onto the machine. */
const INSTALLATION: Readonly<Record<string, string>> = {
  rabbitmq: 'apt-get install rabbitmq-server',
  'stomp-broker-js': 'npm install --no-save stomp-broker-js',
}

export const OTHER_BROKERS: readonly string[] = Object.keys(INSTALLATION)

/** Throws what to do when it is not installed. */
export function installed(name: string): Installed {
  const script = name === 'rabbitmq' ? rabbitmqScript() : undefined
  if (script !== undefined) return { name: 'rabbitmq', start: () => startRabbitmq(script) }
  if (name === 'stomp-broker-js' && canBeLoaded(name)) return { name: 'stompBrokerJs', start: startStompBrokerJs }
  throw new Error(`${name} is not installed: ${INSTALLATION[name] ?? `there are ${OTHER_BROKERS.join(', ')}`}`)
}

function canBeLoaded(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name)
    return true
  } catch {
    return false
  }
}
