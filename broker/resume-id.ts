/** What a client names its session by when it resumes: the session's id, which is no secret, and a secret. */

import { timingSafeEqual } from 'node:crypto'
import type { ClientFrame, Version } from './frame.ts'
import { freshSessionId } from './session-id.ts'
import type { ResumeClaim } from './types.ts'

/** Not among the characters of either part. */
const SEPARATOR = '.'

/** `<session>.<128 random bits>` */
export function freshResumeId(sessionId: string): string {
  return `${sessionId}${SEPARATOR}${freshSessionId()}`
}

/** What a CONNECT claims; undefined: it names no session. */
export function claimOf({ headers }: ClientFrame, user: string, version: Version): ResumeClaim | undefined {
  const resumeId = headers['resume-id']
  if (resumeId === undefined) return undefined
  const [sessionId = ''] = resumeId.split(SEPARATOR, 1)
  const lastSeq = headers['last-seq'] ?? ''
  return { resumeId, sessionId, user, version, lastSeq: /^\d{1,15}$/.test(lastSeq) ? Number(lastSeq) : undefined }
}

/** Whether it is the very secret; how long that takes says nothing. */
export function isSameSecret(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)]
  return a.length === b.length && timingSafeEqual(a, b)
}
