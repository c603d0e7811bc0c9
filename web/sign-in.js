/** Who one is on this tab: a name and a token for it. */

import { $, h } from './dom.js'
import { people, tab } from './storage.js'

/** The server gives no tokens by itself: it is not in demo mode. */
export class NotDemo extends Error {}

/**
 * Shows the form until it has been filled in.
 * @param {string} [complaint]
 * @returns {Promise<{ name: string, token?: string, pasted?: boolean }>}
 */
export function signIn(complaint = '') {
  const section = $('sign-in')
  const form = /** @type {HTMLFormElement} */ ($('sign-in-form'))
  const name = /** @type {HTMLInputElement} */ ($('name'))
  const token = /** @type {HTMLTextAreaElement} */ ($('token'))
  $('sign-in-error').textContent = complaint
  $('known-names').replaceChildren(...people().map(({ id }) => h('option', { value: id })))
  name.value ||= new URLSearchParams(location.search).get('name') ?? ''
  section.hidden = false
  name.focus()

  return new Promise((done) => {
    form.onsubmit = async (event) => {
      event.preventDefault()
      const who = { name: name.value.trim() }
      const pasted = token.value.trim()
      try {
        $('sign-in-error').textContent = ''
        if (who.name === '') throw new Error('Please choose a name.')
        done(pasted ? { ...who, token: pasted, pasted: true } : { ...who, token: await demoToken(who.name) })
        section.hidden = true
      } catch (error) {
        if (error instanceof NotDemo) showTokenField()
        $('sign-in-error').textContent = error instanceof Error ? error.message : String(error)
      }
    }
  })
}

function showTokenField() {
  $('token-field').hidden = false
  $('token').focus()
}

/** @param {string} userId */
async function demoToken(userId) {
  let answer
  try {
    answer = await fetch('/demo/token', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ userId }),
    })
  } catch {
    throw new Error('The server does not answer. Is it running?')
  }
  if (answer.status === 404) throw new NotDemo('This server is not in demo mode: please paste a token.')
  const { msg, data } = await answer.json()
  if (!answer.ok || typeof data?.token !== 'string') throw new Error(msg ?? `The server answered ${answer.status}.`)
  return data.token
}

/**
 * The token provider of the client: the tab's token as long as it is good (the server knows a device that comes back
 * by it), else a new one.
 * @param {{ name: string, token?: string, pasted?: boolean }} who
 */
export function tokenOf(who) {
  return {
    async token() {
      if (!who.token || (!who.pasted && expiresSoon(who.token))) {
        who.token = await demoToken(who.name)
        tab.who = who
      }
      return who.token
    },
    /** The token ends soon: another one in its place. One that was pasted has none. */
    renew: who.pasted
      ? undefined
      : async () => {
          who.token = await demoToken(who.name)
          tab.who = who
          return who.token
        },
    /** The server does not want it any more. */
    refused() {
      if (!who.pasted) who.token = undefined
    },
  }
}

/** @param {string} token a JWT */
function expiresSoon(token) {
  try {
    const [, payload = ''] = token.split('.')
    const { exp } = JSON.parse(atob(payload.replaceAll('-', '+').replaceAll('_', '/')))
    return typeof exp === 'number' && exp * 1000 < Date.now() + 60_000
  } catch {
    return false
  }
}
