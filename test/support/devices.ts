import type { DeviceId, Devices, Message, UserId } from '../../src/ports.ts'

/** A frame that a device got. */
export interface Heard {
  readonly device: DeviceId
  readonly queue: string
  readonly body: Record<string, unknown>
  readonly headers: Readonly<Record<string, string>>
  readonly raw: Buffer
}

/** Devices without sockets, for tests of the engine alone. Each subscribes to everything unless told otherwise. */
export class FakeDevices implements Devices {
  readonly heard: Heard[] = []
  readonly #connected = new Map<DeviceId, { user: UserId; listens: (destination: string) => boolean }>()

  connect(user: UserId, device: DeviceId, listens: (destination: string) => boolean = () => true): void {
    this.#connected.set(device, { user, listens })
  }

  disconnect(device: DeviceId): void {
    this.#connected.delete(device)
  }

  isConnected(device: DeviceId): boolean {
    return this.#connected.has(device)
  }

  connected(user: UserId): readonly DeviceId[] {
    return [...this.#connected].filter(([, entry]) => entry.user === user).map(([device]) => device)
  }

  listening(user: UserId, destination: string): readonly DeviceId[] {
    return this.connected(user).filter((device) => this.#connected.get(device)?.listens(destination))
  }

  reachable(user: UserId, destination: string): readonly DeviceId[] {
    return this.listening(user, destination)
  }

  holds(device: DeviceId): boolean {
    return this.#connected.has(device)
  }

  tell(device: DeviceId, destination: string, message: Message): boolean {
    if (!this.#connected.get(device)?.listens(destination)) return false
    const raw = Buffer.from(message.body)
    this.heard.push({
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
    return this.heard
      .filter((frame) => frame.device === device)
      .map(({ queue, body }) => [queue, body.type, body.reason].filter((word) => word !== undefined).join(' '))
  }

  forgetHeard(): void {
    this.heard.length = 0
  }
}
