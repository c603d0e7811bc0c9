/** How long an allocation is granted (RFC 8656, sections 7.2 and 8.2). */

export interface Lifetimes {
  readonly allocationSeconds: number
  readonly maxAllocationSeconds: number
}

/** Seconds: what was asked for, but never more than the maximum nor less than the default. */
export function grant(asked: number | undefined, { allocationSeconds, maxAllocationSeconds }: Lifetimes): number {
  return Math.max(allocationSeconds, Math.min(asked ?? 0, maxAllocationSeconds))
}
