/**
 * The measured relays: Carillon's as it is deployed (a child of the server), node-turn as it is published, and coturn
 * where it is installed. All of them are asked for their costs from outside, in the same way.
 */

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { mint } from '../../src/turn/credentials.ts'
import type { Credential } from '../../test/relay/turn-client.ts'
import { coturnPath, startCoturn } from '../../test/support/coturn.ts'
import { cores, type Meter, meterOfPid } from './cpu.ts'
import { type Measured, startCarillon, startPeer } from './server.ts'

const NODE_TURN = fileURLToPath(new URL('../peers/node-turn.mjs', import.meta.url))
const UDP_FORWARDER = fileURLToPath(new URL('../peers/udp-forwarder.mjs', import.meta.url))
/** Below the ports that the load's own sockets get. */
const [FIRST_PORT, LAST_PORT] = [10_000, 19_999]
const SECRET = 'a secret for the benchmark and nothing else'

export interface MeasuredRelay extends Meter {
  readonly port: number
  /** Of one of many users, since a user may only have so many allocations. */
  credential(number: number): Credential
  /** What it takes from a client besides indications: node-turn drops ChannelData that comes from clients. */
  readonly takesChannelData: boolean
  stop(): Promise<void>
}

const named = (number: number) => mint(SECRET, `user-${Math.floor(number / 20)}`, Date.now() / 1000 + 3600)

/** `profile`: a folder for a CPU profile of the server; media are none of its business. */
export async function startCarillonRelay(profile?: string): Promise<MeasuredRelay> {
  const port = await freePort()
  const server = await startCarillon(
    {
      TURN_ENABLED: 'true',
      TURN_SECRET: SECRET,
      TURN_LISTEN_IP: '127.0.0.1',
      TURN_PUBLIC_IP: '127.0.0.1',
      TURN_PORT: String(port),
      TURN_MIN_PORT: String(FIRST_PORT),
      TURN_MAX_PORT: String(LAST_PORT),
      TURN_ALLOW_PEERS: '127.0.0.0/8',
      TURN_BYTES_PER_SECOND: '0',
    },
    profile,
  )
  await answers(port)
  const [child] = childrenOf(server.pid)
  if (child === undefined) throw new Error('the server has no relay')
  return { ...meterOfPid(child), port, credential: named, takesChannelData: true, stop: () => server.stop() }
}

export async function startNodeTurn(): Promise<MeasuredRelay> {
  const port = await freePort()
  const peer: Measured = await startPeer([NODE_TURN, String(port), String(FIRST_PORT), String(LAST_PORT)])
  await answers(port)
  return {
    ...meterOfPid(peer.pid),
    port,
    credential: () => ({ username: 'bench', credential: 'bench' }),
    takesChannelData: false,
    stop: () => peer.stop(),
  }
}

/** Undefined where it is not installed. */
export async function startCoturnRelay(): Promise<MeasuredRelay | undefined> {
  try {
    coturnPath()
  } catch {
    return undefined
  }
  const coturn = await startCoturn({
    secret: SECRET,
    flags: ['--allow-loopback-peers', `--min-port=${FIRST_PORT}`, `--max-port=${LAST_PORT}`, '--no-tls'],
    launcher: cores ? ['taskset', '-c', String(cores.server)] : [],
  })
  const { pid, port, stop } = coturn
  return { ...meterOfPid(pid), port, credential: named, takesChannelData: true, stop }
}

/** Not a relay: what is left of one on Node when nothing is decided. */
export async function startUdpForwarder(): Promise<Measured & { readonly port: number }> {
  const peer = await startPeer([UDP_FORWARDER, '0'])
  return { ...peer, port: Number(new URL(peer.url).port) }
}

const BINDING = Buffer.from('000100002112a442000000000000000000000000', 'hex')

/** Asks until it is answered. */
async function answers(port: number): Promise<void> {
  const socket = createSocket('udp4')
  socket.connect(port, '127.0.0.1')
  await once(socket, 'connect')
  await new Promise<void>((resolve) => {
    const ask = () => socket.send(BINDING)
    // nobody listens there yet
    socket.on('error', () => setTimeout(ask, 20))
    socket.once('message', () => resolve())
    ask()
  })
  socket.close()
}

async function freePort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  await once(socket, 'close')
  return port
}

function childrenOf(pid: number): number[] {
  const list = `/proc/${pid}/task/${pid}/children`
  return existsSync(list) ? readFileSync(list, 'utf8').split(' ').filter(Boolean).map(Number) : []
}
