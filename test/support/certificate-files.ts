/** A certificate for 127.0.0.1 in files, as an operator has one; browsers are told to trust its key. */

import { createHash, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { selfMade } from '../../src/adapters/node-turn/self-made.ts'

export interface CertificateFiles {
  readonly cert: string
  readonly key: string
  /** Base64 of the SHA-256 of its public key. */
  readonly fingerprint: string
  remove(): void
}

export function certificateFiles(addresses: readonly string[] = ['127.0.0.1']): CertificateFiles {
  const folder = mkdtempSync(join(tmpdir(), 'carillon-certificate-'))
  const { cert, key } = selfMade(addresses, Date.now())
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') }
  writeFileSync(files.cert, cert)
  writeFileSync(files.key, key, { mode: 0o600 })
  const spki = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' })
  return {
    ...files,
    fingerprint: createHash('sha256').update(spki).digest('base64'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  }
}
