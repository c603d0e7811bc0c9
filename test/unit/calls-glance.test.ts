import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { glance } from '../../src/calls/glance.ts'
import { Signal } from '../../src/calls/messages.ts'
import { parseBody } from '../../src/validation.ts'

const SDP = 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns="a \\ b"\r\n'
const candidate = { candidate: 'candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host', sdpMid: '0', sdpMLineIndex: 0 }

describe('a glance', () => {
  test.each<[string, unknown]>([
    ['an offer', { callId: 'c1', type: 'OFFER', payload: SDP }],
    ['an answer, in another order', { payload: SDP, type: 'ANSWER', callId: 'c1' }],
    ['a candidate', { callId: 'c1', type: 'ICE_CANDIDATE', payload: candidate }],
    [
      'a candidate of Firefox',
      { callId: 'c1', type: 'ICE_CANDIDATE', payload: { ...candidate, usernameFragment: 'a1' } },
    ],
    ['a candidate for Java', { callId: 'c1', type: 'ICE_CANDIDATE', payload: { candidate: '', sdpMid: null } }],
  ])('is enough for %s', (_, message) => {
    expect(glance(Buffer.from(JSON.stringify(message)))).toEqual({ callId: 'c1' })
    expect(glance(Buffer.from(JSON.stringify(message, null, 2)))).toEqual({ callId: 'c1' })
  })

  test.each([
    { callId: 'c1', to: 'bob', type: 'OFFER', payload: SDP },
    { type: 'ICE_CANDIDATE', callId: 'c1', payload: candidate, to: 'bob' },
  ])('is enough to see whom it is for in a room', (message) => {
    expect(glance(Buffer.from(JSON.stringify(message)))).toEqual({ callId: 'c1', to: 'bob' })
  })

  test.each(['" "', '""', 'null', '5', '"b\\u006fb"', `"${'b'.repeat(129)}"`])(
    'leaves a receiver written as %s to the schema',
    (to) => {
      expect(glance(Buffer.from(`{"callId":"c1","type":"OFFER","payload":"x","to":${to}}`))).toBeUndefined()
    },
  )

  test.each([
    '',
    '{}',
    '{',
    '[]',
    '{"callId":"c1","type":"OFFER","payload":"x"',
    '{"callId":"c1","type":"OFFER","payload":"x"}}',
    '{"callId":"c1","type":"OFFER","payload":"x",}',
    '{"callId":"c1","callId":"c2","type":"OFFER","payload":"x"}',
    '{"callId":"c\\u0031","type":"OFFER","payload":"x"}',
    '{"callId":"c1","type":"OFFER","payload":""}',
    '{"callId":"c1","type":"OFFER","payload":"\\u0000"}',
    '{"callId":"c1","type":"OFFER","payload":"a\nb"}',
    '{"callId":"c1","type":"OFFER","payload":"\\x"}',
    '{"callId":"c1","type":"OFFER","payload":"x\\"}',
    '{"callId":"c1","type":"BYE","payload":"x"}',
    '{"callId":"c1","type":"OFFER","payload":{"candidate":""}}',
    '{"callId":"c1","type":"ICE_CANDIDATE","payload":"x"}',
    '{"callId":"c1","type":"ICE_CANDIDATE","payload":{"sdpMid":"0"}}',
    '{"callId":"c1","type":"ICE_CANDIDATE","payload":{"candidate":"","sdpMLineIndex":-1}}',
    '{"callId":"c1","type":"ICE_CANDIDATE","payload":{"candidate":"","sdpMLineIndex":01}}',
    '{"callId":"c1","type":"ICE_CANDIDATE","payload":{"candidate":"","candidate":1}}',
    `{"callId":"${'c'.repeat(101)}","type":"OFFER","payload":"x"}`,
    '{"callId":"c1","type":"OFFER","payload":"x","more":1}',
  ])('leaves %j to the schema', (text) => {
    expect(glance(Buffer.from(text))).toBeUndefined()
  })

  test('leaves what is not UTF-8 to the schema', () => {
    const body = Buffer.from('{"callId":"c1","type":"OFFER","payload":"?"}')
    body[body.indexOf('?')] = 0xff
    expect(glance(body)).toBeUndefined()
  })

  const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 8 }), fc.constantFrom('c1', '', SDP, '0', '\u0000'))
  const value = fc.oneof(
    text,
    fc.constantFrom('OFFER', 'ANSWER', 'ICE_CANDIDATE'),
    fc.nat(),
    fc.double(),
    fc.constant(null),
    fc.record({ candidate: text, sdpMid: fc.option(text), sdpMLineIndex: fc.option(fc.nat(3)) }, { requiredKeys: [] }),
    fc.jsonValue({ maxDepth: 2 }),
  )
  const message = fc.record(
    { callId: fc.oneof(text, value), type: value, payload: value, to: value, more: fc.jsonValue() },
    { requiredKeys: ['callId', 'type', 'payload'] },
  )
  /** Octets at a place are put, or put in, or taken out. */
  const slip = fc.tuple(
    fc.nat(),
    fc.nat(1),
    fc.constantFrom('', '"', '\\', ',', '{', '}', ':', '0', '\n', '\u0000', 'é'),
  )

  test('never says yes to what the schema refuses, nor names another call', () => {
    fc.assert(
      fc.property(message, fc.array(slip, { maxLength: 2 }), fc.constantFrom(0, 1), (given, slips, indent) => {
        let written = JSON.stringify(given, null, indent)
        for (const [place, length, octets] of slips) {
          const at = place % (written.length + 1)
          written = written.slice(0, at) + octets + written.slice(at + length)
        }
        const body = Buffer.from(written)
        const glanced = glance(body)
        if (glanced === undefined) return
        const read = parseBody(Signal, body)
        expect(read).toMatchObject({ ok: true, data: { callId: glanced.callId } })
      }),
      { numRuns: 5_000 },
    )
  })
})
