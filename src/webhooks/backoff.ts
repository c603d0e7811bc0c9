/** How long to wait before the next attempt: twice as long each time, up to a bound, never in step with others. */

export interface Backoff {
  readonly firstMs: number
  readonly longestMs: number
}

/** `failed`: attempts that have failed (1 or more). `random`: from 0 up to 1. */
export function pauseMs({ firstMs, longestMs }: Backoff, failed: number, random: number): number {
  const full = Math.min(longestMs, firstMs * 2 ** Math.min(failed - 1, 30))
  return Math.round(full * (0.5 + random / 2))
}
