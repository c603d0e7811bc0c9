import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import { asyncApi, SENDS, SUBSCRIPTIONS } from '../../docs/asyncapi.ts'
import { printed } from '../../docs/printed.ts'
import { ENDPOINTS } from '../../http/endpoints.ts'
import { openApi } from '../../http/openapi.ts'
import { CALL_QUEUES, callHandlers } from '../../src/calls/destinations.ts'
import type { CallService } from '../../src/calls/service.ts'
import { credentialHandlers } from '../../src/credentials/destinations.ts'
import { AUTH_QUEUE, type CredentialService } from '../../src/credentials/service.ts'
import { CODES } from '../../src/errors.ts'
import { historyHandlers } from '../../src/history/destinations.ts'
import { MISSED_QUEUE } from '../../src/history/missed.ts'
import { NO_HISTORY } from '../../src/history/service.ts'
import type { Devices } from '../../src/ports.ts'
import { presenceHandlers, STATUS_TOPIC } from '../../src/presence/destinations.ts'
import type { PresenceService } from '../../src/presence/service.ts'
import { TURN_QUEUE, turnHandlers } from '../../src/turn/destinations.ts'
import type { TurnService } from '../../src/turn/service.ts'

test.each(Object.entries(printed()))('%s is what `npm run docs` prints', (path, text) => {
  expect(readFileSync(path, 'utf8')).toBe(text)
})

/** Every `$ref` of a document must lead somewhere inside it. */
function danglingRefs(document: object): string[] {
  const refs = [...JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path = '']) => path)
  return refs.filter((path) => {
    let place: unknown = document
    for (const key of path.split('/'))
      place = (place as Record<string, unknown> | undefined)?.[key.replaceAll('~1', '/')]
    return place === undefined
  })
}

describe('the OpenAPI document', () => {
  const document = openApi({ demo: true, version: '1.2.3' })
  const paths = document.paths as Record<string, Record<string, { responses: object; operationId: string }>>

  test('has every endpoint that is served', () => {
    for (const { path, method, name } of ENDPOINTS) expect(paths[path]?.[method]?.operationId).toBe(name)
  })

  test('tells for each refusal its status, or its code beside status 200', () => {
    for (const { path, method, refusals } of ENDPOINTS) {
      const responses = paths[path]?.[method]?.responses as Record<string, { description: string }>
      for (const name of refusals) {
        const { code, meaning } = CODES[name]
        expect(responses[code < 1000 ? code : 200]?.description).toContain(meaning)
      }
      expect(Object.keys(responses)).toEqual(expect.arrayContaining(['200', '400', '401', '429', '500', '503']))
    }
  })

  test('names the demo only where there is one', () => {
    expect(Object.keys(paths)).toContain('/demo/token')
    expect(JSON.stringify(openApi({ demo: false, version: '1.2.3' }))).not.toContain('demo')
  })

  test('has no reference that leads nowhere, and no name twice', () => {
    expect(danglingRefs(document)).toEqual([])
    const ids = Object.values(paths).flatMap((path) => Object.values(path).map(({ operationId }) => operationId))
    expect(new Set(ids).size).toBe(ids.length)
  })
})

describe('the AsyncAPI document', () => {
  const handlers = {
    ...callHandlers({} as CallService, {} as Devices),
    ...presenceHandlers({} as PresenceService, { tell: () => true }),
    ...turnHandlers({} as TurnService, { tell: () => true }),
    ...credentialHandlers({} as CredentialService),
    ...historyHandlers(NO_HISTORY),
  }
  const addresses = (channels: readonly { address: string }[]) => channels.map(({ address }) => address).sort()

  test('has every destination that a client may send to', () => {
    expect(addresses(SENDS)).toEqual(Object.keys(handlers).sort())
  })

  test('has every destination that a client may subscribe to', () => {
    expect(addresses(SUBSCRIPTIONS)).toEqual(
      [...CALL_QUEUES, MISSED_QUEUE, STATUS_TOPIC, TURN_QUEUE, AUTH_QUEUE, '/user/queue/errors'].sort(),
    )
  })

  test('has no reference that leads nowhere', () => {
    expect(danglingRefs(asyncApi('1.2.3'))).toEqual([])
  })
})
