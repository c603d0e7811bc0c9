/** Schemas as the documents print them. */

import { z } from 'zod'

export type Json = { readonly [key: string]: unknown }

/** A schema as clients have to send it. Bounds that nobody can reach say nothing. */
export function jsonSchema(schema: z.ZodType): Json {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    io: 'input',
    override: ({ jsonSchema: made }) => {
      if (made.maxLength === Number.MAX_SAFE_INTEGER) delete made.maxLength
      if (made.maximum === Number.MAX_SAFE_INTEGER) delete made.maximum
      if (made.minimum === Number.MIN_SAFE_INTEGER) delete made.minimum
    },
  })
  return json
}

/** As the content of a body. */
export const jsonContent = (schema: Json): Json => ({ 'application/json': { schema } })
