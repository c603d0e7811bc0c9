/** docs/errors.md, printed from the table of codes. */

import { REFUSED_ZH } from '../http/rtc/words.ts'
import { CODES, type CodeName } from '../src/errors.ts'

/** Markdown of the whole page. */
export function errorTable(): string {
  const rows = Object.values(CODES).map(({ code, meaning, advice }) => `| ${code} | ${meaning} | ${advice} |`)
  return `${HEAD}\n| code | meaning | what to do |\n| --- | --- | --- |\n${rows.join('\n')}\n${FOOT}${inChinese()}`
}

function inChinese(): string {
  const rows = Object.entries(CODES).map(([name, { code }]) => `| ${code} | ${REFUSED_ZH[name as CodeName]} |`)
  return `${CHINESE}\n| code | message |\n| --- | --- |\n${rows.join('\n')}\n`
}

const HEAD = `# Errors

Every refusal has a code from one table, whatever way the client asked. Codes below 1000 equal the HTTP status; codes
above are outcomes of the business and come with HTTP status 200.
`

const FOOT = `
## Where they appear

**Over HTTP** in the envelope; facts that belong to the code stand beside it, and 429 and 503 have \`Retry-After\`:

\`\`\`json
{"code": 1001, "msg": "bob is in a call", "data": null, "reason": "BUSY", "callId": "6f1c1f0e"}
\`\`\`

**Over STOMP** as a MESSAGE to the session that sent the frame, on its subscription to \`/user/queue/errors\`. The
connection stays open. The header \`receipt-id\` is there when the frame asked for a receipt:

\`\`\`json
{"code": 400, "message": "callerUserName: must not be blank", "destination": "/app/call/request"}
\`\`\`

Over HTTP the text is called \`msg\`, on the errors queue \`message\`. \`/api/v1/rtc\` has an envelope of its own,
\`{code, message, data}\`, in which the facts of codes above 1000 are \`data\`.

**As an ERROR frame**, after which the connection is closed: only for a refused CONNECT, for a token that has
expired or was revoked (401), for frames that break STOMP itself, and for exceeded limits. Its header \`message\` says what happened.

| fact | with | meaning |
| --- | --- | --- |
| \`callId\` | calls | the call that was meant |
| \`reason\` | 1001 | \`BUSY\`, or \`GLARE\`: both call each other |
| \`activeCallId\` | \`GLARE\` | the call that lives |
| \`status\` | 1005 | how the call has ended |
| \`retryAfter\` | 429, 503 | seconds after which it makes sense to ask again |
| \`destination\` | errors queue | where the refused frame was sent |
`

const CHINESE = `
## In Chinese

What \`/api/v1/rtc\` says to a client that prefers Chinese (\`Accept-Language\`). Behind the sentence of a code below 1000
the details stand in brackets, in English.
`
