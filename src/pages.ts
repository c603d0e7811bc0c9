/** Where the files lie that browsers load, whether this runs from the sources or from `dist/`. */

import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Pages } from '../http/services.ts'

const require = createRequire(import.meta.url)

/** The folder that holds package.json. */
const ROOT = rootAbove(dirname(fileURLToPath(import.meta.url)))

/** The address at which the HTTP face serves sockjs-client. */
export const SOCKJS_ADDRESS = '/vendor/sockjs.min.js'

export const PAGES: Pages = {
  web: join(ROOT, 'web'),
  client: join(ROOT, 'dist', 'client'),
  stompjs: join(packageFolder('@stomp/stompjs'), 'esm6'),
  sockjs: join(packageFolder('sockjs-client'), 'dist', 'sockjs.min.js'),
  swaggerUi: packageFolder('swagger-ui-dist'),
}

export const VERSION = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version

function rootAbove(folder: string): string {
  if (existsSync(join(folder, 'package.json'))) return folder
  const above = dirname(folder)
  if (above === folder) throw new Error('package.json of Carillon was not found above its own files')
  return rootAbove(above)
}

/**
 * Packages may hide package.json behind `exports`: look for it above whatever they do export. Some have further ones in
 * their folders, which name no package (stompjs says in `bundles/` only that these are CommonJS).
 */
function packageFolder(name: string): string {
  for (let folder = dirname(require.resolve(name)); ; folder = dirname(folder)) {
    const path = join(folder, 'package.json')
    if (existsSync(path) && (JSON.parse(readFileSync(path, 'utf8')) as { name?: string }).name === name) return folder
    if (folder === dirname(folder)) throw new Error(`the folder of ${name} was not found`)
  }
}
