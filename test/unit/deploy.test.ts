/** What is in `deploy/` must not be forgotten when variables and endpoints change. */

import { readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import { ENDPOINTS } from '../../http/endpoints.ts'
import { VARIABLES } from '../../src/variables.ts'

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

test.each(['deploy/compose.yaml', 'deploy/kubernetes.yaml', 'Dockerfile'])(
  '%s names variables of the server',
  (name) => {
    const names = read(name).match(/\b[A-Z]+(_[A-Z]+)+\b/g) ?? []
    expect(names).toContain('NODE_ENV')
    expect(names.filter((one) => !Object.hasOwn(VARIABLES, one))).toEqual([])
  },
)

test('the Ingress lets through every endpoint of clients, and nothing of operators', () => {
  const paths = [...read('deploy/kubernetes.yaml').matchAll(/\{ path: (\S+), pathType/g)].map(([, path = '']) => path)
  const under = (path: string) => paths.some((prefix) => path === prefix || path.startsWith(`${prefix}/`))
  for (const { path } of ENDPOINTS) expect({ path, in: under(path) }).toEqual({ path, in: true })
  expect(under('/imserver/ws/info')).toBe(true)
  for (const path of ['/metrics', '/readyz', '/imserver/admin/nodes']) expect(under(path)).toBe(false)
})

test('both proxies and Compose have the same three servers', () => {
  for (const name of ['deploy/nginx.conf', 'deploy/haproxy.cfg', 'deploy/compose.yaml']) {
    const servers = read(name).match(/10\.0\.0\.1[1-9]/g)
    expect([...new Set(servers)]).toEqual(['10.0.0.11', '10.0.0.12', '10.0.0.13'])
  }
})
