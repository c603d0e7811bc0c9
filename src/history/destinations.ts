/** Where the history is in STOMP: one destination to say that missed calls were seen, one queue to hear of them. */

import type { Handler } from '../../broker/index.ts'
import { payload } from '../handlers.ts'
import { HistoryRead } from './messages.ts'
import type { History } from './service.ts'

export function historyHandlers(history: Pick<History, 'read'>): Readonly<Record<string, Handler>> {
  return {
    '/app/call/history/read': payload(HistoryRead, ({ id, principal }, message) =>
      history.read(principal.user, message, id),
    ),
  }
}
