/** `.env.example`, printed from the table of variables. */

import { VARIABLES, type VariableName } from '../src/variables.ts'

/** Headings, each before the variable that it is keyed by. */
const HEADINGS: Partial<Record<VariableName, string>> = {
  NODE_ENV: 'Server',
  AUTH_JWT_SECRET: 'Who is it: at most one of the three keys; none of them: demo mode',
  TOKEN_WARNING_S: 'Tokens while their session is connected',
  RING_TIMEOUT_MS: 'Calls',
  TURN_ENABLED: 'STUN and TURN',
  PRESENCE_SCOPE: 'Presence',
  REDIS_URL: 'Several servers',
  WEBHOOK_URL: 'Webhooks',
  DATABASE_URL: 'History of calls',
  OPEN_DESTINATIONS: 'STOMP',
  LIMIT_FRAME_BYTES: 'Limits',
  LOG_LEVEL: 'Log',
}

/** The whole file: a copy of it named `.env` changes nothing. */
export function envExample(): string {
  const lines = [
    '# Every variable of the server with its default; an empty one counts as unset.',
    '# Copy to .env, or set them in the environment, which wins.',
  ]
  for (const name of Object.keys(VARIABLES) as VariableName[]) {
    const { explanation, example, fallback } = VARIABLES[name]
    if (HEADINGS[name] !== undefined) lines.push('', `## ${HEADINGS[name]}`)
    lines.push('', `# ${explanation}`)
    if (example !== fallback) lines.push(`# Example: ${example}`)
    lines.push(`${name}=${fallback ?? ''}`)
  }
  return `${lines.join('\n')}\n`
}
