/** Where credentials are in STOMP: one destination to SEND a new one to, one queue to hear of the own. */

import type { Handler } from '../../broker/index.ts'
import { payload } from '../handlers.ts'
import { TokenRefresh } from './messages.ts'
import { type CredentialService, REFRESH } from './service.ts'

export function credentialHandlers(credentials: CredentialService): Readonly<Record<string, Handler>> {
  return { [REFRESH]: payload(TokenRefresh, (session, message) => credentials.refresh(session, message)) }
}
