import { systemClock } from '../../broker/clock.ts'
import { openHistory, type SqlHistory, type SqlWorld } from '../../src/adapters/sql/index.ts'
import type { CallRecord } from '../../src/history/types.ts'

/** A history, and what it has said. */
export interface HistoryAtHand {
  readonly history: SqlHistory
  readonly lines: string[]
  readonly refused: CallRecord[]
  /** Fulfilled when it is in this state, now or the next time. */
  becomes(state: 'up' | 'down'): Promise<void>
}

export function historyAt(url: string, more: Partial<SqlWorld> = {}): HistoryAtHand {
  const lines: string[] = []
  const refused: CallRecord[] = []
  const say = (facts: object, message: string) => void lines.push(`${message} ${JSON.stringify(facts)}`)
  const waiting: (() => void)[] = []
  const history = openHistory(url, {
    clock: systemClock,
    log: { info: say, warn: say, error: say },
    onState: () => {
      for (const wake of waiting.splice(0)) wake()
    },
    onRefused: (record) => void refused.push(record),
    ...more,
  })
  if (!history) throw new Error(`no history at ${url}`)
  return {
    history,
    lines,
    refused,
    async becomes(state) {
      while (history.state !== state) await new Promise<void>((resolve) => waiting.push(resolve))
    },
  }
}
