/** Moments and durations as the rtc-service writes them. All arguments are milliseconds since the epoch. */

import { z } from 'zod'

/** `2025-11-09T15:00:00Z`: UTC, whole seconds. */
export const shownTime = (at: number): string => `${new Date(at).toISOString().slice(0, 19)}Z`

export const ShownTime = z.string().describe('ISO 8601 in UTC: `2025-11-09T15:00:00Z`.')

/** Whole seconds of talk; none: 0. */
export function secondsBetween(connectedAt: number | undefined, endedAt: number | undefined): number {
  if (connectedAt === undefined || endedAt === undefined) return 0
  return Math.max(0, Math.floor((endedAt - connectedAt) / 1000))
}
