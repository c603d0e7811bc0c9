import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { FamiliarHeads } from '../../broker/familiar-heads.ts'
import { readHead } from '../../broker/head.ts'

const LIMITS = { headers: 5, headerBytes: 100 }

const read = (text: string, familiar?: FamiliarHeads) => readHead(Buffer.from(text), '1.2', LIMITS, familiar)

const line = fc.oneof(
  fc.constantFrom('destination:/app/a', 'destination:/app/b', 'content-type:text/plain', 'receipt:1', 'ide:token', 'x'),
  fc.constantFrom(
    'content-length:0',
    'content-length:12',
    'content-length:',
    'content-length:-1',
    'content-length:1e3',
  ),
  fc.constantFrom('content-length:99999999999', 'content-length:7\r', 'a\\cb:1', 'é:1', ':', 'content-length'),
)
const head = fc
  .tuple(fc.constantFrom('SEND', 'SUBSCRIBE', 'SENT'), fc.array(line, { maxLength: 7 }))
  .map(([command, lines]) => [command, ...lines].join('\n'))

test('a head says the same whether or not it is known by sight', () => {
  fc.assert(
    fc.property(fc.array(head, { minLength: 1, maxLength: 30 }), (heads) => {
      const familiar = new FamiliarHeads()
      for (const text of [...heads, ...heads])
        expect({ ...read(text, familiar), look: undefined }).toEqual({ ...read(text), look: undefined })
    }),
  )
})

test('a head that comes again is not read again; the length of its body may differ', () => {
  const familiar = new FamiliarHeads()
  const first = read('SEND\ndestination:/app/a\ncontent-length:5', familiar)
  const again = read('SEND\ncontent-length:7\ndestination:/app/a', familiar)
  expect(first).toMatchObject({ contentLength: 5 })
  expect(again).toMatchObject({ contentLength: 7, headers: { destination: '/app/a' } })
  const third = read('SEND\ndestination:/app/a\ncontent-length:9', familiar)
  expect((third as { headers: unknown }).headers).toBe((again as { headers: unknown }).headers)
})

test.each(['receipt:1', 'transaction:t', 'ide:secret', 'Authorization:Bearer secret', 'passcode:secret'])(
  'a head with %s is not remembered',
  (own) => {
    const familiar = new FamiliarHeads()
    const text = `SEND\ndestination:/app/a\n${own}`
    read(text, familiar)
    expect(familiar.recognise(text)).toBeUndefined()
  },
)

test('a client that makes up heads fills nothing, and pushes out none', () => {
  const familiar = new FamiliarHeads()
  read('SEND\ndestination:/app/a', familiar)
  for (let n = 0; n < 1000; n++) read(`SEND\ndestination:/app/${n}`, familiar)
  expect(familiar.recognise('SEND\ndestination:/app/a')).toBeDefined()
  expect(familiar.recognise('SEND\ndestination:/app/999')).toBeUndefined()
})

test('of the other commands none is remembered: they come once', () => {
  const familiar = new FamiliarHeads()
  for (const command of ['SEND', 'SUBSCRIBE', 'CONNECT', 'ACK', 'BEGIN']) read(`${command}\nid:1`, familiar)
  const known = ['SEND', 'SUBSCRIBE', 'CONNECT', 'ACK', 'BEGIN'].filter((command) =>
    familiar.recognise(`${command}\nid:1`),
  )
  expect(known).toEqual(['SEND', 'SUBSCRIBE'])
})

test('a SUBSCRIBE that is known without a body is not taken for one when it announces a body', () => {
  const familiar = new FamiliarHeads()
  read('SUBSCRIBE\nid:1', familiar)
  expect(read('SUBSCRIBE\nid:1\ncontent-length:5', familiar)).toHaveProperty('explanation')
})
