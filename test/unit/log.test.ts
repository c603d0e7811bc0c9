import { describe, expect, test } from '@jest/globals'
import { createLog } from '../../src/log.ts'

function listen(level: 'info' | 'silent' = 'info') {
  const lines: Record<string, unknown>[] = []
  const log = createLog({ level, production: true }, { write: (line) => void lines.push(JSON.parse(line)) })
  return { log, lines }
}

describe('the log', () => {
  test('is one JSON object a line: facts, then a sentence', () => {
    const { log, lines } = listen()
    log.info({ port: 8080 }, 'listens')
    expect(lines).toEqual([{ level: 30, time: expect.any(Number), port: 8080, msg: 'listens' }])
  })

  test.each(['token', 'ide', 'authorization', 'passcode', 'secret', 'credential', 'payload', 'sdp'])(
    'never shows a field named %s, however deep it comes',
    (name) => {
      const { log, lines } = listen()
      const fact = { [name]: 'hush' }
      log.child({ part: 'x' }).warn({ ...fact, headers: fact, frame: { headers: fact } }, 'look')
      expect(lines).toHaveLength(1)
      expect(JSON.stringify(lines)).not.toContain('hush')
    },
  )

  test('says nothing when it is silent', () => {
    const { log, lines } = listen('silent')
    log.error({}, 'x')
    expect(lines).toEqual([])
  })
})
