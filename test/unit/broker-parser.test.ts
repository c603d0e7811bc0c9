import { describe, expect, jest, test } from '@jest/globals'
import fc from 'fast-check'
import { escapeHeader, unescapeHeader } from '../../broker/escaping.ts'
import { FamiliarHeads } from '../../broker/familiar-heads.ts'
import type { ClientFrame, Version } from '../../broker/frame.ts'
import { type Inbound, Parser } from '../../broker/parser.ts'

const LIMITS = { frameBytes: 1000, headers: 5, headerBytes: 100 }

/** Characters that are easily got wrong. */
const unit = fc.constantFrom('a', 'n', 'r', 'c', ':', '\\', '\n', '\r', ' ', 'ü', '€', '🎶')
const anyText = fc.string({ unit, maxLength: 12 })

type Plain = 'heartbeat' | { violation: string; receipt: string | undefined } | { frame: unknown }

/** An item without what does not matter. */
function plain(item: Inbound): Plain {
  switch (item.kind) {
    case 'heartbeat':
      return 'heartbeat'
    case 'violation':
      return { violation: item.violation.message, receipt: item.violation.receipt }
    case 'frame':
      return { frame: [item.frame.command, { ...item.frame.headers }, item.frame.body.toString('latin1')] }
  }
}

function parse(version: Version | undefined, ...pieces: (string | Buffer)[]): Plain[] {
  return parseWith(new Parser(LIMITS), version, pieces)
}

function parseWith(parser: Parser, version: Version | undefined, pieces: readonly (string | Buffer)[]): Plain[] {
  if (version) parser.speak(version, LIMITS.frameBytes)
  const items: Inbound[] = []
  for (const piece of pieces) {
    parser.push(typeof piece === 'string' ? Buffer.from(piece) : Buffer.from(piece))
    for (let item = parser.next(); item; item = parser.next()) items.push(item)
  }
  return items.map(plain)
}

const sent = (headers: Record<string, string>, body = ''): Plain => ({ frame: ['SEND', headers, body] })
const violation = (message: string, receipt?: string): Plain => ({ violation: message, receipt })

describe('frames (STOMP 1.2, "STOMP Frames")', () => {
  test.each<[string, Version | undefined, string, Plain[]]>([
    ['a frame ends with its NUL', '1.2', 'SEND\na:b\n\nx\0', [sent({ a: 'b' }, 'x')]],
    ['EOLs behind a NUL are heart-beats', '1.2', 'SEND\n\n\0\n\r\n', [sent({}), 'heartbeat', 'heartbeat']],
    ['several frames share a chunk', '1.2', 'SEND\n\na\0SEND\n\nb\0', [sent({}, 'a'), sent({}, 'b')]],
    ['CR LF ends lines in 1.2', '1.2', 'SEND\r\na:b\r\n\r\nx\r\n\0', [sent({ a: 'b' }, 'x\r\n')]],
    ['a CR within a line is kept', '1.2', 'SEND\na:b\rc\n\n\0', [sent({ a: 'b\rc' })]],
    ['CR is a character of the value in 1.1', '1.1', 'SEND\na:b\r\n\n\0', [sent({ a: 'b\r' })]],
    ['CR LF makes no blank line in 1.1', '1.1', 'SEND\na:b\n\r\n\0', [violation('frame without a blank line')]],
    ['CR LF is no part of a command in 1.0', '1.0', 'SEND\r\na:b\n\n\0', [violation('unknown command')]],
    [
      'CR LF is read before a version is settled',
      undefined,
      'CONNECT\r\na:b\r\n\r\n\0',
      [{ frame: ['CONNECT', { a: 'b' }, ''] }],
    ],
    ['the first of repeated headers counts', '1.2', 'SEND\na:1\na:2\n\n\0', [sent({ a: '1' })]],
    ['values are never trimmed', '1.2', 'SEND\na: b \n\n\0', [sent({ a: ' b ' })]],
    ['colons in values are read', '1.2', 'SEND\na:b:c\n\n\0', [sent({ a: 'b:c' })]],
    ['an empty value is a value', '1.2', 'SEND\na:\n\n\0', [sent({ a: '' })]],
    ['content-length counts octets, NULs too', '1.2', 'SEND\ncontent-length:3\n\na\0b\0', [sent({}, 'a\0b')]],
    [
      'content-length 0 is allowed where no body is',
      '1.2',
      'ACK\ncontent-length:0\n\n\0',
      [{ frame: ['ACK', {}, ''] }],
    ],
    [
      'names of Object.prototype are names',
      '1.2',
      'SEND\n__proto__:x\ntoString:y\n\n\0',
      [sent(JSON.parse('{"__proto__":"x","toString":"y"}') as Record<string, string>)],
    ],
  ])('%s', (_, version, text, items) => {
    expect(parse(version, text)).toEqual(items)
  })
})

describe('escapes (STOMP 1.1 and 1.2, "Value Encoding")', () => {
  test.each<[Version, string, string | undefined]>([
    ['1.2', '\\r\\n\\c\\\\', '\r\n:\\'],
    ['1.2', '\\t', undefined],
    ['1.2', 'a\\', undefined],
    ['1.1', '\\n\\c\\\\', '\n:\\'],
    ['1.1', '\\r', undefined],
    ['1.1', '\\t', undefined],
    ['1.0', '\\n\\t\\', '\\n\\t\\'],
  ])('%s reads %j as %j', (version, written, text) => {
    expect(parse(version, `SEND\na:${written}\nreceipt:r\n\n\0`)).toEqual([
      text === undefined ? violation('undefined escape in a header of SEND', 'r') : sent({ a: text, receipt: 'r' }),
    ])
  })

  test('names are escaped like values', () => {
    expect(parse('1.2', 'SEND\na\\cb:c\n\n\0')).toEqual([sent({ 'a:b': 'c' })])
  })

  test('CONNECT and STOMP know none', () => {
    expect(parse(undefined, 'STOMP\na:\\t\\n\n\n\0')).toEqual([{ frame: ['STOMP', { a: '\\t\\n' }, ''] }])
  })

  test('what is written in 1.1 and 1.2 is read as it was', () => {
    fc.assert(
      fc.property(fc.constantFrom<Version>('1.1', '1.2'), anyText, (version, text) => {
        expect(unescapeHeader(escapeHeader(text, version, 'value') ?? '', version)).toBe(text)
      }),
    )
  })
})

describe('violations', () => {
  const long = 'x'.repeat(101)
  test.each<[string, string | Buffer, string, string | undefined]>([
    ['an unknown command', 'JUMP\nreceipt:r\n\n\0', 'unknown command', 'r'],
    ['a command in small letters', 'send\n\n\0', 'unknown command', undefined],
    ['a command of the server', 'MESSAGE\n\n\0', 'unknown command', undefined],
    ['HTTP', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'unknown command', undefined],
    ['a header without a colon', 'SEND\nreceipt:r\nabc\n\n\0', 'header without a colon in SEND', 'r'],
    ['a header without a name', 'SEND\n:abc\nreceipt:r\n\n\0', 'header without a name in SEND', 'r'],
    [
      'headers that are not UTF-8',
      Buffer.from('SEND\na:\xff\nreceipt:r\n\n\0', 'latin1'),
      'headers of SEND are not UTF-8',
      'r',
    ],
    ['NUL within the headers', 'SEND\nreceipt:r\na:b\0', 'frame without a blank line', 'r'],
    ['a body where none may be', 'SUBSCRIBE\nreceipt:r\n\nbody\0', 'SUBSCRIBE must not have a body', 'r'],
    ['a length where no body may be', 'BEGIN\ncontent-length:2\n\nab\0', 'BEGIN must not have a body', undefined],
    [
      'a content-length in words',
      'SEND\ncontent-length:two\n\nab\0',
      'content-length of SEND is not a number',
      undefined,
    ],
    ['a negative content-length', 'SEND\ncontent-length:-1\n\n\0', 'content-length of SEND is not a number', undefined],
    [
      'a content-length that is too short',
      'SEND\nreceipt:r\ncontent-length:1\n\nabc\0',
      'content-length of SEND is wrong',
      'r',
    ],
    [
      'an absurd content-length',
      `SEND\nreceipt:r\ncontent-length:${'9'.repeat(50)}\n\n\0`,
      'frame larger than 1000 octets',
      'r',
    ],
    ['too many headers', 'SEND\na:1\nb:2\nc:3\nd:4\ne:5\nreceipt:r\n\n\0', 'more than 5 headers', 'r'],
    ['a header that is too long', `SEND\na:${long}\nreceipt:r\n\n\0`, 'header longer than 100 octets', 'r'],
    ['a frame that is too large', `SEND\nreceipt:r\n\n${'x'.repeat(1000)}\0`, 'frame larger than 1000 octets', 'r'],
    ['a head that never ends', `SEND\nreceipt:r\n${'a:b\n'.repeat(300)}`, 'frame larger than 1000 octets', 'r'],
    ['a body that never ends', `SEND\n\n${'x'.repeat(2000)}`, 'frame larger than 1000 octets', undefined],
  ])('%s', (_, octets, message, receipt) => {
    expect(parse('1.2', octets, 'SEND\n\nmore\0')).toEqual([violation(message, receipt)])
  })

  test('a frame may have as many octets as the limit says', () => {
    const body = 'x'.repeat(1000 - 'SEND\n\n'.length)
    expect(parse('1.2', `SEND\n\n${body}\0`)).toEqual([sent({}, body)])
    expect(parse('1.2', `SEND\n\n${body}x\0`)).toEqual([violation('frame larger than 1000 octets')])
  })

  test('the frames before a violation are read', () => {
    expect(parse('1.2', 'SEND\n\na\0JUMP\n\n\0SEND\n\nb\0')).toEqual([sent({}, 'a'), violation('unknown command')])
  })
})

describe('cuts', () => {
  const header = fc.tuple(fc.string({ unit, minLength: 1, maxLength: 8 }), anyText)
  const aFrame = fc
    .record({
      headers: fc.array(header, { maxLength: 4 }),
      body: fc.uint8Array({ maxLength: 40 }),
      counted: fc.boolean(),
      eols: fc.nat(2),
    })
    .map(({ headers, body, counted, eols }) => {
      const octets = counted ? Buffer.from(body) : Buffer.from(body.filter((octet) => octet !== 0))
      const lines = headers.map(
        ([name, value]) => `${escapeHeader(name, '1.2', 'name')}:${escapeHeader(value, '1.2', 'value')}\n`,
      )
      const length = counted ? `content-length:${octets.length}\n` : ''
      return Buffer.concat([
        Buffer.from(`SEND\n${length}${lines.join('')}\n`),
        octets,
        Buffer.from(`\0${'\n'.repeat(eols)}`),
      ])
    })
  const sometimesBroken = fc.oneof(
    { weight: 8, arbitrary: aFrame },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom('JUMP\nreceipt:r\n\n\0', 'SEND\nreceipt:r\nx\n\n\0', 'ACK\n\nbody\0')
        .map((text) => Buffer.from(text)),
    },
  )

  test('any frames in any pieces give the same items', () => {
    fc.assert(
      fc.property(
        fc.array(sometimesBroken, { maxLength: 6 }),
        fc.array(fc.nat(400), { maxLength: 30 }),
        (frames, places) => {
          const octets = Buffer.concat(frames)
          const cuts = [0, ...places.filter((place) => place < octets.length).sort((a, b) => a - b), octets.length]
          const pieces = cuts.slice(1).map((cut, i) => octets.subarray(cuts[i], cut))
          expect(parse('1.2', ...pieces)).toEqual(parse('1.2', octets))
        },
      ),
      { numRuns: 300 },
    )
  })

  test('what is broken is broken alike however it is cut', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 200 }).map((noise) => Buffer.concat([Buffer.from('SEND\na:b'), noise])),
        (octets) => {
          const bytewise = [...octets].map((octet) => Buffer.of(octet))
          expect(parse('1.2', ...bytewise)).toEqual(parse('1.2', octets))
        },
      ),
    )
  })

  test('random octets never throw', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (pieces) => {
        parse(undefined, ...pieces.map((piece) => Buffer.from(piece)))
      }),
      { numRuns: 500 },
    )
  })

  test('a frame in single octets is copied a bounded number of times', () => {
    const copy = jest.spyOn(Buffer.prototype, 'copy')
    const parser = new Parser({ ...LIMITS, frameBytes: 100_000 })
    const octets = Buffer.from(`SEND\n\n${'x'.repeat(50_000)}\0`)
    const items: (Inbound | undefined)[] = []
    for (const octet of octets) {
      parser.push(Buffer.of(octet))
      items.push(parser.next())
    }
    const copied = copy.mock.results.reduce((sum, { value }) => sum + (value as number), 0)
    copy.mockRestore()
    expect(items.findIndex((item) => item !== undefined)).toBe(octets.length - 1)
    expect(copied).toBeLessThan(3 * octets.length)
  })

  test('a body handed out is not written over by what comes later', () => {
    const parser = new Parser(LIMITS)
    const bodies: Buffer[] = []
    for (const octet of Buffer.from(Array.from({ length: 20 }, (_, i) => `SEND\n\nbody ${i}\0`).join(''))) {
      parser.push(Buffer.of(octet))
      const item = parser.next()
      if (item?.kind === 'frame') bodies.push((item.frame as ClientFrame).body)
    }
    expect(bodies.map(String)).toEqual(Array.from({ length: 20 }, (_, i) => `body ${i}`))
  })
})

describe('heads that come again', () => {
  const head = fc.constantFrom(
    'SEND\ndestination:/a\ncontent-length:LENGTH\n\n',
    'SEND\ndestination:/a\ncontent-length:LENGTH\nb:c\n\n',
    'SEND\ndestination:/a\ncontent-length:LENGTH\nb:d\n\n',
    'SEND\ndestination:/ab\ncontent-length:LENGTH\n\r\n',
    'SEND\ncontent-length:LENGTH\ndestination:/a\n\n',
    'SEND\ndestination:/a\n\n',
    '\nSEND\ndestination:/a\ncontent-length:LENGTH\n\n',
  )
  const length = fc.constantFrom('3', '03', '0000000003', '4', '', 'x', '999', '99999999999')
  const sends = fc
    .array(fc.tuple(head, length), { minLength: 2, maxLength: 8 })
    .map((parts) => parts.map(([text, octets]) => `${text.replace('LENGTH', octets)}abc\0`).join(''))

  test('say what they would say if nobody knew them, however they are cut', () => {
    fc.assert(
      fc.property(sends, fc.array(fc.nat(), { maxLength: 4 }), (octets, cuts) => {
        const places = [...new Set(cuts.map((cut) => cut % octets.length))].sort((a, b) => a - b)
        const pieces = [0, ...places].map((from, i) => octets.slice(from, places[i] ?? octets.length))
        const familiar = new FamiliarHeads()
        parseWith(new Parser(LIMITS, familiar), '1.2', [octets])
        expect(parseWith(new Parser(LIMITS, familiar), '1.2', pieces)).toEqual(parse('1.2', octets))
      }),
      { numRuns: 1000 },
    )
  })
})

test('what waits for the rest of its frame does not hold on to the memory that it came in', () => {
  const parser = new Parser(LIMITS)
  const memory = Buffer.alloc(16_384, 'SEND\na:b\n\nbo')
  parser.push(memory.subarray(0, 12))
  expect(parser.next()).toBeUndefined()
  memory.fill('x')
  parser.push(Buffer.from('dy\0'))
  expect(plain(parser.next() as Inbound)).toEqual(sent({ a: 'b' }, 'body'))
})
