import type { DeviceId, Devices, Message, UserId } from '../../src/ports.ts'

/** A frame that a device got. */
export interface Heard {
  readonly device: DeviceId
  readonly queue: string
  readonly body: Record<string, unknown>
  readonly headers: Readonly<Record<string, string>>
  readonly raw: Buffer
}

interface Held {
  readonly user: UserId
  readonly listens: (destination: string) => boolean
  /** While it is away: what it was told meanwhile. */
  mailbox?: Heard[] | undefined
}

/** Devices without sockets, for tests of the engine alone. Each subscribes to everything unless told otherwise. */
export class FakeDevices implements Devices {
  readonly heard: Heard[] = []
  readonly #held = new Map<DeviceId, Held>()

  connect(user: UserId, device: DeviceId, listens: (destination: string) => boolean = () => true): void {
    this.#held.set(device, { user, listens })
  }

  /** It may come back. */
  goesAway(device: DeviceId): void {
    const held = this.#held.get(device)
    if (held) held.mailbox = []
  }

  /** It hears what it was told meanwhile. */
  comesBack(device: DeviceId): void {
    const held = this.#held.get(device)
    this.heard.push(...(held?.mailbox ?? []))
    if (held) held.mailbox = undefined
  }

  disconnect(device: DeviceId): void {
    this.#held.delete(device)
  }

  isConnected(device: DeviceId): boolean {
    const held = this.#held.get(device)
    return held !== undefined && held.mailbox === undefined
  }

  connected(user: UserId): readonly DeviceId[] {
    return this.#of(user).filter((device) => this.isConnected(device))
  }

  listening(user: UserId, destination: string): readonly DeviceId[] {
    return this.connected(user).filter((device) => this.#held.get(device)?.listens(destination))
  }

  reachable(user: UserId, destination: string): readonly DeviceId[] {
    return this.#of(user).filter((device) => this.#held.get(device)?.listens(destination))
  }

  holds(device: DeviceId): boolean {
    return this.#held.has(device)
  }

  #of(user: UserId): readonly DeviceId[] {
    return [...this.#held].filter(([, entry]) => entry.user === user).map(([device]) => device)
  }

  tell(device: DeviceId, destination: string, message: Message): boolean {
    const held = this.#held.get(device)
    if (!held?.listens(destination)) return false
    const raw = Buffer.from(message.body)
    const mailbox = held.mailbox ?? this.heard
    mailbox.push({
      device,
      queue: destination.replace('/user/queue/', ''),
      body: JSON.parse(raw.toString()),
      headers: message.headers ?? {},
      raw,
    })
    return true
  }

  /** `queue reason-or-type` of everything that one device heard, in order. */
  of(device: DeviceId): string[] {
    return this.heard.filter((frame) => frame.device === device).map(inWords)
  }

  /** The same with the calls that it was about: `callId queue …`. */
  ofCalls(device: DeviceId): string[] {
    return this.heard
      .filter((frame) => frame.device === device)
      .map((frame) => `${String(frame.body.callId)} ${inWords(frame)}`)
  }

  forgetHeard(): void {
    this.heard.length = 0
  }
}

function inWords({ queue, body }: Heard): string {
  const held = typeof body.hold === 'boolean' ? [body.hold ? 'on' : 'off', 'by', body.by] : []
  return [queue, body.type, body.state, ...held, body.reason].filter((word) => word !== undefined).join(' ')
}
