/**
 * Who may connect over STOMP (contract, section 1): the token of the CONNECT frame decides who it is; a `userId` in
 * the address must say the same.
 */

import type { Admission, ConnectAttempt } from '../broker/index.ts'
import type { Authenticator } from './auth.ts'
import { refuse } from './errors.ts'

export function admission(authenticator: Authenticator): (attempt: ConnectAttempt) => Promise<Admission> {
  return async ({ headers, peer }) => {
    const token = tokenOf(headers)
    if (token === undefined) return refused(refuse('unauthorized', 'no token: send it in the CONNECT header `ide`'))
    const outcome = await authenticator.authenticate(token)
    if (!outcome.ok) return refused(outcome)
    const { userId } = peer.query
    if (userId && userId !== outcome.data.user) {
      return refused(refuse('unauthorized', 'userId: is not the user of the token'))
    }
    return { principal: outcome.data }
  }
}

/** `ide`, or `Authorization: Bearer …`, or `passcode` for clients that know only login and passcode. */
function tokenOf(headers: Readonly<Record<string, string>>): string | undefined {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.Authorization ?? headers.authorization ?? '')?.[1]
  return [headers.ide, bearer, headers.passcode].find((token) => token !== undefined && token !== '')
}

function refused({ code, message }: { code: number; message: string }): Admission {
  return { refused: { code, message } }
}
