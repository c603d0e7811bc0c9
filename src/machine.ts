/** What the configuration asks of the machine it runs on; tests bring their own. */

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hostname, networkInterfaces } from 'node:os'

export interface Machine {
  readFile(path: string): string
  /** Addresses of this machine that others can reach, IPv4 first. */
  addresses(): readonly string[]
  /** What it is called. */
  name(): string
  /** A new secret text. */
  secret(): string
}

export const thisMachine: Machine = {
  readFile: (path) => readFileSync(path, 'utf8'),
  addresses: () =>
    Object.values(networkInterfaces())
      .flatMap((faces) => faces ?? [])
      .filter((face) => !face.internal && !/^fe80:/i.test(face.address))
      .sort((a, b) => a.family.localeCompare(b.family))
      .map((face) => face.address),
  name: () => hostname(),
  secret: () => randomBytes(32).toString('base64url'),
}
