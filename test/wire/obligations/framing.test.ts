/**
 * STOMP 1.2 "STOMP Frames" and what 1.1 and 1.0 say of the same: where a frame begins and ends, what may be in it.
 * The id of a title is that of the clause in docs/stomp.md.
 */

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { frame, type StompPeer } from '../../support/stomp-peer.ts'
import { type TestServer, testServer } from '../../support/stomp-server.ts'
import { bodies, fatal, listener, messages, session, stranger } from '../../support/stomp-sessions.ts'

let server: TestServer
beforeAll(async () => {
  server = await testServer()
})
afterAll(() => server.stop())

const ECHO = { destination: '/app/echo' }
const TOPIC = { destination: '/topic/open.all' }

describe('STOMP Frames, Augmented BNF', () => {
  test('FRAME-1 an EOL is LF, or CR LF in 1.2', async () => {
    const peer = await stranger(server)
    peer.send('CONNECT\r\naccept-version:1.2\r\nide:alice\r\n\r\n\0')
    await peer.frame('CONNECTED')
    peer.send('SUBSCRIBE\r\nid:e\r\ndestination:/user/queue/echo\r\n\r\n\0\r\n')
    peer.send('SEND\r\ndestination:/app/echo\ncontent-type:text/x\r\n\r\nbody\r\n\0')
    const message = await peer.frame('MESSAGE')
    expect([message.body, message.headers['content-type']]).toEqual(['body\r\n', 'text/x'])
    await peer.close()
  })

  test.each(['1.0', '1.1'])('FRAME-1 in %s a CR is a character like others', async (version) => {
    const peer = await listener(server, version)
    peer.send('SEND\ndestination:/topic/open.all\nmine:x\r\n\nbody\0')
    expect((await peer.frame('MESSAGE')).headers.mine).toBe('x\r')
    peer.send('SEND\r\ndestination:/app/echo\r\n\r\nbody\0')
    expect((await fatal(peer)).headers.message).toBe('frame without a blank line')
  })

  test('FRAME-2 NUL may be followed by EOLs, and these may come between frames at any time', async () => {
    const peer = await listener(server)
    peer.send(`\n\r\n\n${frame('SEND', ECHO, '1')}\n\n\r\n${frame('SEND', ECHO, '2')}\n`)
    peer.send('\n')
    peer.send(frame('SEND', ECHO, '3'))
    await peer.settled()
    expect(bodies(peer, 'echo')).toEqual(['1', '2', '3'])
    await peer.close()
  })

  const conversation = Buffer.from(
    `${frame('CONNECT', { 'accept-version': '1.2', ide: 'alice' })}\n\r\n` +
      frame('SUBSCRIBE', { destination: '/user/queue/echo', id: 'e' }) +
      frame('SEND', { ...ECHO, 'content-length': 8, note: 'a\\cb\\\\' }, 'a\0b ü\n\n') +
      `\n${frame('SEND', ECHO, '{"late":true}')}${frame('DISCONNECT', { receipt: 'bye' })}`,
  )

  async function replay(send: (peer: StompPeer) => void): Promise<unknown[]> {
    const peer = await stranger(server)
    send(peer)
    await peer.closed
    return peer.frames.map(({ command, headers, body }) => [command, headers['receipt-id'], body])
  }

  const answers = [
    ['CONNECTED', undefined, ''],
    ['MESSAGE', undefined, 'a\0b ü\n\n'],
    ['MESSAGE', undefined, '{"late":true}'],
    ['RECEIPT', 'bye', ''],
  ]

  test('FRAME-3 a frame may share a WebSocket message with others', async () => {
    expect(await replay((peer) => peer.send(conversation.toString()))).toEqual(answers)
  })

  test('FRAME-3 a frame may be cut anywhere, in the middle of a character too', async () => {
    const cutAt = async (cut: number): Promise<void> => {
      if (cut >= conversation.length) return
      const answer = await replay((peer) => {
        peer.send(conversation.subarray(0, cut))
        peer.send(conversation.subarray(cut))
      })
      expect([cut, answer]).toEqual([cut, answers])
    }
    for (let cut = 1; cut < conversation.length; cut += 10)
      await Promise.all(Array.from({ length: 10 }, (_, i) => cutAt(cut + i)))
  })

  test('FRAME-3 every octet may come in a message of its own', async () => {
    const answer = await replay((peer) => {
      for (const octet of conversation) peer.send(Buffer.of(octet))
    })
    expect(answer).toEqual(answers)
  })

  test.each(['send', 'Send', 'SENDS', ' SEND', 'SEND '])(
    'FRAME-4 commands are case-sensitive and exact: not %j',
    async (command) => {
      const peer = await session(server)
      peer.send(`${command}\ndestination:/app/echo\nreceipt:r\n\n\0`)
      expect((await fatal(peer)).headers).toMatchObject({ message: 'unknown command', 'receipt-id': 'r' })
    },
  )

  test('FRAME-4 header names are case-sensitive', async () => {
    const peer = await session(server)
    peer.send('SEND\nDestination:/app/echo\nreceipt:r\n\n\0')
    expect((await fatal(peer)).headers.message).toBe('SEND without destination')
  })

  test.each(['JUMP', 'MESSAGE', 'CONNECTED', 'RECEIPT', 'ERROR', ''])(
    'FRAME-5 %j is no command of a client',
    async (command) => {
      const peer = await session(server)
      peer.send(`${command === '' ? ':' : command}\nreceipt:r\n\n\0`)
      expect((await fatal(peer)).headers).toMatchObject({ message: 'unknown command', 'receipt-id': 'r' })
    },
  )

  test.each([
    ['a header without a colon', 'SEND\nreceipt:r\ndestination:/app/echo\nabc\n\n\0'],
    ['a header without a name', 'SEND\nreceipt:r\ndestination:/app/echo\n:abc\n\n\0'],
    ['a NUL before the blank line', 'SEND\nreceipt:r\ndestination:/app/echo\n\0'],
  ])('FRAME-6 %s is no frame', async (_, octets) => {
    const peer = await session(server)
    peer.send(octets)
    expect((await fatal(peer)).headers['receipt-id']).toBe('r')
  })

  test('FRAME-7 a value may be empty and may have colons: the first one ends the name', async () => {
    const peer = await listener(server)
    peer.send(frame('SEND', { ...TOPIC, empty: '', url: 'http://a:1/' }))
    expect((await peer.frame('MESSAGE')).headers).toMatchObject({ empty: '', url: 'http\\c//a\\c1/' })
    await peer.close()
  })
})

describe('Value Encoding', () => {
  const mine = (value: string) => `SEND\ndestination:/topic/open.all\nmine:${value}\n\n\0`

  test('ENCODING-1 1.2 decodes \\r \\n \\c \\\\ in names and values, and encodes them again', async () => {
    const peer = await listener(server)
    const old = await listener(server, '1.0')
    peer.send('SEND\ndestination:/topic/open.all\nna\\cme:a\\rb\\nc\\cd\\\\e\nplain:\\\\n\n\n\0')
    const { headers } = await peer.frame('MESSAGE')
    expect(headers).toMatchObject({ 'na\\cme': 'a\\rb\\nc\\cd\\\\e', plain: '\\\\n' })
    // Read by a session that knows no escapes, it shows what was meant
    expect((await old.frame('MESSAGE')).headers.plain).toBe('\\n')
    await peer.close()
    await old.close()
  })

  test.each(['\\t', '\\R', '\\0', '\\', 'a\\', '\\x', '\\:', '\\ '])(
    'ENCODING-2 1.2 does not know %j: fatal',
    async (value) => {
      const peer = await session(server)
      peer.send(mine(value))
      expect((await fatal(peer)).headers.message).toBe('undefined escape in a header of SEND')
    },
  )

  test('ENCODING-2 an undefined escape in a name is fatal, too', async () => {
    const peer = await session(server)
    peer.send('SEND\ndestination:/topic/open.all\nreceipt:r\nmi\\ne\\t:x\n\n\0')
    expect((await fatal(peer)).headers['receipt-id']).toBe('r')
  })

  test('ENCODING-3 1.1 knows \\n \\c \\\\', async () => {
    const peer = await listener(server, '1.1')
    peer.send(mine('a\\nb\\cc\\\\d'))
    expect((await peer.frame('MESSAGE')).headers.mine).toBe('a\\nb\\cc\\\\d')
    await peer.close()
  })

  test.each(['\\r', '\\t'])('ENCODING-3 1.1 does not know %j: fatal', async (value) => {
    const peer = await session(server, '1.1')
    peer.send(mine(value))
    expect((await fatal(peer)).headers.message).toBe('undefined escape in a header of SEND')
  })

  test('ENCODING-4 1.0 knows none: a backslash is a backslash', async () => {
    const peer = await listener(server, '1.0')
    const other = await listener(server, '1.2')
    peer.send(mine('a\\nb\\c\\t'))
    expect((await peer.frame('MESSAGE')).headers.mine).toBe('a\\nb\\c\\t')
    expect((await other.frame('MESSAGE')).headers.mine).toBe('a\\\\nb\\\\c\\\\t')
    await peer.close()
    await other.close()
  })

  test('ENCODING-4 what 1.0 cannot say is left out of its MESSAGE, and nothing else', async () => {
    const old = await listener(server, '1.0')
    const peer = await session(server)
    peer.send('SEND\ndestination:/topic/open.all\nlf:a\\nb\nna\\cme:x\nplain:y\n\n\0')
    const { headers } = await old.frame('MESSAGE')
    expect(headers.plain).toBe('y')
    expect(headers).not.toHaveProperty('lf')
    expect(headers).not.toHaveProperty('na:me')
    await peer.close()
    await old.close()
  })

  test('ENCODING-5 CONNECT and CONNECTED escape nothing', async () => {
    const peer = await stranger(server)
    peer.send('CONNECT\naccept-version:1.2\nide:a:b\\n\\t\n\n\0')
    expect((await peer.frame('CONNECTED')).headers['user-name']).toBe('a:b\\n\\t')
    await peer.close()
  })

  test('ENCODING-6 nothing is trimmed or padded', async () => {
    const peer = await listener(server)
    peer.send('SEND\ndestination:/topic/open.all\n mine : x \n\n\0')
    expect((await peer.frame('MESSAGE')).headers[' mine ']).toBe(' x ')
    peer.send('SEND\ndestination: /topic/open.all\nreceipt:r\n\n\0')
    const refusal = await peer.frame(({ headers }) => headers.subscription === 'errors')
    expect(JSON.parse(refusal.body)).toMatchObject({ code: 404, destination: ' /topic/open.all' })
    await peer.close()
  })

  test('ENCODING-7 command and headers are UTF-8', async () => {
    const peer = await listener(server)
    peer.send(frame('SEND', { ...TOPIC, mine: 'grüß 🔔 السابق' }))
    expect((await peer.frame('MESSAGE')).headers.mine).toBe('grüß 🔔 السابق')
    peer.send(Buffer.from(`SEND\ndestination:/topic/open.all\nreceipt:r\nmine:\xff\n\n\0`, 'latin1'))
    expect((await fatal(peer)).headers['receipt-id']).toBe('r')
  })
})

describe('Body, Standard Headers', () => {
  const bodiless: [string, Record<string, string>][] = [
    ['SUBSCRIBE', { destination: '/topic/open.all', id: 's' }],
    ['UNSUBSCRIBE', { id: 'echo' }],
    ['ACK', { id: 'x' }],
    ['NACK', { id: 'x' }],
    ['BEGIN', { transaction: 't' }],
    ['COMMIT', { transaction: 't' }],
    ['ABORT', { transaction: 't' }],
    ['DISCONNECT', {}],
  ]
  for (const length of ['with', 'without'])
    test.each(bodiless)(`BODY-1 %s ${length} content-length may not have a body`, async (command, headers) => {
      const peer = await listener(server)
      peer.send(
        frame(command, { ...headers, receipt: 'r', ...(length === 'with' ? { 'content-length': 4 } : {}) }, 'body'),
      )
      expect((await fatal(peer)).headers).toMatchObject({
        message: `${command} must not have a body`,
        'receipt-id': 'r',
      })
    })

  test('BODY-1 CONNECT may not have a body', async () => {
    const peer = await stranger(server)
    peer.send(frame('CONNECT', { 'accept-version': '1.2', ide: 'alice' }, 'body'))
    expect((await fatal(peer)).headers.message).toBe('CONNECT must not have a body')
  })

  test('BODY-2 content-length:0 is no body, on any frame', async () => {
    const peer = await session(server)
    peer.send(frame('BEGIN', { transaction: 't', 'content-length': 0, receipt: 'r' }))
    await peer.frame('RECEIPT')
    await peer.close()
  })

  test('LENGTH-1 so many octets are read as content-length says, in spite of NULs', async () => {
    const peer = await listener(server)
    const octets = Buffer.from([0, 10, 0, 0xff, 13, 10, 0])
    peer.send(Buffer.concat([Buffer.from('SEND\ndestination:/app/echo\ncontent-length:7\n\n'), octets, Buffer.of(0)]))
    const message = await peer.frame('MESSAGE')
    expect([message.octets, message.headers['content-length']]).toEqual([octets, '7'])
    await peer.close()
  })

  test('LENGTH-1 it counts octets, not characters', async () => {
    const peer = await listener(server)
    peer.send(frame('SEND', { ...ECHO, 'content-length': 6 }, '🔔ü'))
    expect(await peer.frame('MESSAGE')).toMatchObject({ body: '🔔ü', headers: { 'content-length': '6' } })
    await peer.close()
  })

  test('LENGTH-2 without content-length the first NUL ends the body', async () => {
    const peer = await listener(server)
    peer.send(`${frame('SEND', ECHO, 'a')}${frame('SEND', ECHO, 'b')}`)
    await peer.settled()
    expect(bodies(peer, 'echo')).toEqual(['a', 'b'])
    await peer.close()
  })

  test.each([
    ['too short', 'SEND\ndestination:/app/echo\nreceipt:r\ncontent-length:2\n\nbody\0'],
    ['too long', `SEND\ndestination:/app/echo\nreceipt:r\ncontent-length:9\n\nbody\0${frame('SEND', ECHO, 'next')}`],
  ])('LENGTH-3 a content-length that is %s is fatal: no NUL where it must be', async (_, octets) => {
    const peer = await listener(server)
    peer.send(octets)
    expect((await fatal(peer)).headers).toMatchObject({
      message: 'content-length of SEND is wrong',
      'receipt-id': 'r',
    })
    expect(messages(peer)).toEqual([])
  })

  test.each(['-1', '+1', '1.0', '0x4', '4 ', '', 'four', '4,4', 'NaN', 'Infinity'])(
    'LENGTH-4 a content-length of %j is fatal',
    async (length) => {
      const peer = await session(server)
      peer.send(`SEND\ndestination:/app/echo\nreceipt:r\ncontent-length:${length}\n\nbody\0`)
      expect((await fatal(peer)).headers).toMatchObject({
        message: 'content-length of SEND is not a number',
        'receipt-id': 'r',
      })
    },
  )

  test.each(['65537', '4294967296', '9007199254740993', '9'.repeat(400)])(
    'LENGTH-4 a content-length of %s is refused before the body has come',
    async (length) => {
      const peer = await session(server)
      peer.send(`SEND\ndestination:/app/echo\nreceipt:r\ncontent-length:${length}\n\nbody`)
      const { headers } = await peer.frame('ERROR')
      expect(headers).toMatchObject({ message: 'frame larger than 65536 octets', 'receipt-id': 'r' })
      await peer.closed
    },
  )

  test('LENGTH-5 MESSAGE and ERROR say the length of their body', async () => {
    const peer = await listener(server)
    for (const body of ['', 'ü', 'a\nb']) peer.send(frame('SEND', ECHO, body))
    await peer.settled()
    expect(messages(peer, 'echo').map(({ headers }) => headers['content-length'])).toEqual(['0', '2', '3'])
    peer.send('JUMP\n\n\0')
    const error = await fatal(peer)
    expect(error.headers['content-length']).toBe(String(error.octets.length))
  })

  test('TYPE-1 a MESSAGE keeps the content-type of its SEND; none is invented', async () => {
    const peer = await listener(server)
    peer.send(frame('SEND', { ...TOPIC, 'content-type': 'image/x;a=b' }, 'x') + frame('SEND', TOPIC, 'y'))
    await peer.settled()
    expect(messages(peer, 'all').map(({ headers }) => headers['content-type'])).toEqual(['image/x;a=b', undefined])
    await peer.close()
  })

  test('REPEAT-1 of repeated headers the first one counts', async () => {
    const peer = await listener(server)
    peer.send(
      'SEND\ndestination:/topic/open.all\ndestination:/app/none\nmine:1\nmine:2\ncontent-length:4\ncontent-length:1\n\nbody\0',
    )
    const message = await peer.frame('MESSAGE')
    expect([message.headers.mine, message.body]).toEqual(['1', 'body'])
    await peer.close()
  })

  test.each([
    ['headers', `SEND\nreceipt:r\n${'a:b\n'.repeat(70)}\n\0`, 'more than 64 headers'],
    ['a header line', `SEND\nreceipt:r\na:${'b'.repeat(9000)}\n\n\0`, 'header longer than 8192 octets'],
    ['a head without end', `SEND\nreceipt:r\n${'a:b\n'.repeat(20_000)}`, 'frame larger than 65536 octets'],
    ['a line without end', `SEND\nreceipt:r\n${'a'.repeat(70_000)}`, 'frame larger than 65536 octets'],
    ['a body', frame('SEND', { ...ECHO, receipt: 'r' }, 'x'.repeat(65_536)), 'frame larger than 65536 octets'],
    ['a body far too large', frame('SEND', { ...ECHO, receipt: 'r' }, 'x'.repeat(300_000)), /^frame larger than 65536/],
  ])('SIZE-1 too much of %s is an ERROR that names the limit', async (_, octets, message) => {
    const peer = await session(server)
    peer.send(octets)
    const { headers } = await fatal(peer)
    expect(headers.message).toMatch(message)
    expect(headers['receipt-id']).toBe('r')
    expect((await peer.closed).code).toBe(1008)
  })

  test('SIZE-1 a frame may be as large as the limit', async () => {
    const peer = await listener(server)
    const head = frame('SEND', ECHO).length - 1
    peer.send(frame('SEND', ECHO, 'x'.repeat(65_536 - head)))
    expect((await peer.frame('MESSAGE')).octets.length).toBe(65_536 - head)
    await peer.close()
  })
})
