/**
 * The relay's certificate: from files, which are looked at again and again, or made by itself. A new one counts for the
 * connections that come after it; one that cannot be used is reported, and the one before it stays.
 */

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContext } from 'node:tls'
import type { Cancel, Clock } from '../../../broker/clock.ts'
import type { TlsCertificate } from './options.ts'
import { selfMade } from './self-made.ts'

/** Looked at, not watched: that works for renamed files, swapped links and every file system alike. */
const LOOK_MS = 10_000
const DAY_MS = 86_400_000
/** A certificate of our own is made anew so long before its end. */
const RENEWAL_MS = 30 * DAY_MS

export interface CertificateWorld {
  readonly clock: Clock
  /** Whom a self-made one is for. */
  readonly addresses: readonly string[]
  /** Told whenever one is used from now on. */
  readonly loaded: (validTo: Date) => void
  readonly report: (error: unknown) => void
}

interface Pem {
  readonly cert: string
  readonly key: string
}

export class Certificate {
  readonly #source: TlsCertificate
  readonly #world: CertificateWorld
  #context: SecureContext | undefined
  #used: Pem | undefined
  #renewAt = 0
  /** Why the files cannot be used, as of the last look. */
  #problem = ''
  #reported = ''
  #cancel: Cancel = () => undefined
  #closed = false

  constructor(source: TlsCertificate, world: CertificateWorld) {
    this.#source = source
    this.#world = world
  }

  /** For the next connection; undefined while there has never been a usable one. */
  get context(): SecureContext | undefined {
    return this.#context
  }

  /** Loads it, and looks for changes from then on until {@link close}. Resolves also when there is nothing usable. */
  async start(): Promise<void> {
    await this.#look(true)
  }

  close(): void {
    this.#closed = true
    this.#cancel()
  }

  async #look(first: boolean): Promise<void> {
    try {
      const pem = await this.#pem()
      if (pem && !this.#closed) this.#use(pem)
      this.#problem = ''
      this.#reported = ''
    } catch (error) {
      this.#fail(error as Error, first)
    }
    if (this.#closed) return
    const pauseMs = this.#source === 'self-made' ? DAY_MS : LOOK_MS
    this.#cancel = this.#world.clock.after(pauseMs, () => void this.#look(false))
  }

  /** What should be used; undefined when there is nothing new. */
  async #pem(): Promise<Pem | undefined> {
    const { clock, addresses } = this.#world
    if (this.#source === 'self-made') return clock.now() < this.#renewAt ? undefined : selfMade(addresses, clock.now())
    const { certFile, keyFile } = this.#source
    const [cert, key] = await Promise.all([readFile(certFile, 'utf8'), readFile(keyFile, 'utf8')])
    return cert === this.#used?.cert && key === this.#used.key ? undefined : { cert, key }
  }

  #use(pem: Pem): void {
    const certificate = new X509Certificate(pem.cert)
    if (!certificate.checkPrivateKey(createPrivateKey(pem.key))) throw new Error('the key is not the certificate’s')
    const validTo = new Date(certificate.validTo)
    this.#context = createSecureContext({ ...pem })
    this.#used = pem
    this.#renewAt = validTo.getTime() - RENEWAL_MS
    this.#world.loaded(validTo)
  }

  /**
   * Two files are not replaced at once, so what is wrong must be wrong twice in a row in the same way, except at the
   * start. Each trouble is told once.
   */
  #fail({ message }: Error, first: boolean): void {
    const again = message === this.#problem
    this.#problem = message
    if ((!again && !first) || message === this.#reported) return
    this.#reported = message
    const rest = this.#context ? 'the one before stays in use' : 'there is no TURN over TLS until it can be'
    this.#world.report(new Error(`the certificate cannot be used, and ${rest}: ${message}`))
  }
}
