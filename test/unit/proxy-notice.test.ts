import { expect, test } from '@jest/globals'
import { proxyNotice } from '../../src/proxy-notice.ts'

function warningsFor(trusted: readonly string[], ...requests: readonly [string, string | undefined][]): string[] {
  const warnings: string[] = []
  const notice = proxyNotice(trusted, (text) => warnings.push(text))
  for (const [remoteAddress, forwarded] of requests)
    notice({ headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress } })
  return warnings
}

test('a proxy near by that is not trusted is told of, once, with its address and what to set', () => {
  const warnings = warningsFor([], ['10.0.0.5', '192.0.2.1'], ['10.0.0.5', '192.0.2.2'])
  expect(warnings).toEqual([expect.stringMatching(/^requests come through 10\.0\.0\.5 .*TRUSTED_PROXIES/)])
})

test.each([
  ['that is trusted', ['10.0.0.0/8'], '10.0.0.5', '192.0.2.1'],
  ['that forwards nothing', [], '10.0.0.5', undefined],
  ['that is just a client of the internet who makes up a header', [], '192.0.2.1', '192.0.2.2'],
])('one %s is not', (_, trusted, remote, forwarded) => {
  expect(warningsFor(trusted, [remote, forwarded])).toEqual([])
})

test('a proxy that is reached over IPv6, or as IPv4 in IPv6, is one too', () => {
  expect(warningsFor([], ['::1', '192.0.2.1'])).toHaveLength(1)
  expect(warningsFor([], ['::ffff:127.0.0.1', '192.0.2.1'])).toHaveLength(1)
})
