/**
 * Bytes from outside → a checked message, or a refusal that names every wrong field at once.
 */

import type { z } from 'zod'
import { type Outcome, refuse } from './errors.ts'

/** One schema's complaints as `field: what is wrong`, joined by `; `. Array places read `[3]`, nested ones `payload.candidate`. */
export function explain(error: z.core.$ZodError): string {
  return error.issues.map((issue) => `${placeOf(issue.path)}${issue.message}`).join('; ')
}

function placeOf(path: readonly PropertyKey[]): string {
  if (path.length === 0) return ''
  const place = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('')
  return `${place.replace(/^\./, '')}: `
}

/**
 * Reads a JSON body against its schema. Never throws.
 * An empty body (or `null`) counts as `{}`, so that schemas in which nothing is required accept it.
 */
export function parseBody<S extends z.ZodType>(schema: S, body: Uint8Array): Outcome<z.output<S>> {
  let json: unknown = {}
  if (body.length > 0) {
    try {
      const text = utf8.decode(body)
      json = isBlank(text) ? {} : (JSON.parse(text) ?? {})
    } catch (error) {
      return refuse('badRequest', `body: is not JSON in UTF-8 (${(error as Error).message.slice(0, 120)})`)
    }
  }
  const checked = schema.safeParse(json)
  return checked.success ? { ok: true, data: checked.data } : refuse('badRequest', explain(checked.error))
}

/** Reads these parameters of an address against a schema of texts; one that is empty is not given. Never throws. */
export function parseQuery<S extends z.ZodType>(
  schema: S,
  names: readonly string[],
  parameter: (name: string) => string | undefined,
): Outcome<z.output<S>> {
  const given = names.flatMap((name) => {
    const value = parameter(name)
    return value === undefined || value === '' ? [] : [[name, value] as const]
  })
  const checked = schema.safeParse(Object.fromEntries(given))
  return checked.success ? { ok: true, data: checked.data } : refuse('badRequest', explain(checked.error))
}

/** Looks at the first character, mostly: a body may be long. */
const isBlank = (text: string): boolean => !/\S/.test(text)

const utf8 = new TextDecoder('utf-8', { fatal: true })
