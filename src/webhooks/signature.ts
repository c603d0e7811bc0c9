/** Proves to a back end that a request is Carillon's, and when it was sent: docs/webhooks.md shows how to check it. */

import { createHmac } from 'node:crypto'

/** Value of `Carillon-Signature`. The time is in what is signed, so that an old request cannot be sent again later. */
export function signatureOf(secret: string, body: string, nowMs: number): string {
  const seconds = Math.floor(nowMs / 1000)
  return `t=${seconds},v1=${createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')}`
}
