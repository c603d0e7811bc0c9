/** The client repeats the contract in its own words, because it must not import the server: here both are held equal. */

import { expect, test } from '@jest/globals'
import { socketUrl } from '../../client/client.ts'
import {
  APP,
  type CallHangup,
  type CallRequest,
  type CallResponse,
  CODE,
  type CredentialNotice,
  HEARS,
  type Signal,
  type TokenRefresh,
} from '../../client/wire.ts'
import * as messages from '../../src/calls/messages.ts'
import {
  CredentialNotice as CredentialNoticeSchema,
  TokenRefresh as TokenRefreshSchema,
} from '../../src/credentials/messages.ts'
import { AUTH_QUEUE, REFRESH } from '../../src/credentials/service.ts'
import { CODES } from '../../src/errors.ts'

test('the client knows the codes of the server, all of them and no others', () => {
  const server = Object.fromEntries(Object.entries(CODES).map(([name, { code }]) => [name, code]))
  expect(CODE).toEqual(server)
})

test('what the client sends is what the server takes', () => {
  const request: CallRequest = {
    callId: 'c',
    type: 'VIDEO',
    callee: 'bob',
    callerUserName: 'Alice',
    calleeUserName: 'Bob',
    timeout: 30,
  }
  const response: CallResponse = { callId: 'c', type: 'REJECT', reason: 'BUSY' }
  const hangup: CallHangup = { callId: 'c' }
  const payload = { candidate: '', sdpMid: null, sdpMLineIndex: 0, usernameFragment: 'u' }
  const signals: Signal[] = [
    { callId: 'c', type: 'OFFER', payload: 'sdp' },
    { callId: 'c', type: 'ANSWER', payload: 'sdp' },
    { callId: 'c', type: 'ICE_CANDIDATE', payload },
  ]
  expect(messages.CallRequest.parse(request)).toMatchObject(request)
  expect(messages.CallResponse.parse(response)).toEqual(response)
  expect(messages.CallHangup.parse(hangup)).toEqual(hangup)
  expect(signals.map((signal) => messages.Signal.parse(signal))).toEqual(signals)
})

test('client and server call the credentials’ places and messages the same', () => {
  expect([APP.refresh, HEARS.auth]).toEqual([REFRESH, AUTH_QUEUE])
  const refresh: TokenRefresh = { token: 't' }
  expect(TokenRefreshSchema.parse(refresh)).toEqual(refresh)
  const notices: CredentialNotice[] = [
    { type: 'EXPIRING', expiresAt: 1, remainingMs: 1 },
    { type: 'EXPIRED', expiresAt: 1 },
    { type: 'REFRESHED', expiresAt: 1 },
    { type: 'REFRESHED' },
  ]
  expect(notices.map((notice) => CredentialNoticeSchema.parse(notice))).toEqual(notices)
})

test.each([
  ['https://host/imserver/ws', undefined, 'wss://host/imserver/ws'],
  ['http://host:8080/imserver/ws', 'alice', 'ws://host:8080/imserver/ws?userId=alice'],
  ['ws://host/imserver/ws?x=1', 'a b&c', 'ws://host/imserver/ws?x=1&userId=a+b%26c'],
])('%s for %s is opened as %s', (url, user, address) => {
  expect(socketUrl(url, user)).toBe(address)
})
