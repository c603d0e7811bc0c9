/** The frames that go by: an integrator's first debugger. Tokens come masked from the client; SDP is folded here. */

import { $, h, icon } from './dom.js'
import { settings } from './storage.js'

const MOST_ROWS = 400

export class FramesPanel {
  /** @type {import('../client/types.ts').FrameSeen[]} */
  #frames = []
  #list
  #panel = $('frames')
  #toggle = $('frames-toggle')
  #count

  constructor() {
    this.#list = h('ol', { className: 'frame-list', tabIndex: 0, 'aria-label': 'Frames, the newest last' })
    this.#count = h('span', { className: 'hint' })
    this.#panel.append(
      h(
        'header',
        { className: 'frames-head' },
        h('h2', {}, 'Frames'),
        this.#count,
        h('span', { className: 'spacer' }),
        button('copy', 'Copy all as text', () => this.#copy()),
        button('clear', 'Clear', () => this.#clear()),
        button('close', 'Close', () => this.show(false)),
      ),
      this.#list,
    )
    this.#toggle.addEventListener('click', () => this.show(this.#panel.hidden))
    this.show(settings.framesOpen)
  }

  /** @param {boolean} open */
  show(open) {
    this.#panel.hidden = !open
    this.#toggle.setAttribute('aria-expanded', String(open))
    document.body.classList.toggle('with-frames', open)
    settings.framesOpen = open
    if (open) this.#list.scrollTop = this.#list.scrollHeight
  }

  /** @param {import('../client/types.ts').FrameSeen} frame */
  add(frame) {
    this.#frames.push(frame)
    const atEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40
    this.#list.append(row(frame))
    if (this.#frames.length > MOST_ROWS) {
      this.#frames.shift()
      this.#list.firstElementChild?.remove()
    }
    this.#count.textContent = String(this.#frames.length)
    if (atEnd) this.#list.scrollTop = this.#list.scrollHeight
  }

  #clear() {
    this.#frames = []
    this.#list.replaceChildren()
    this.#count.textContent = ''
  }

  #copy() {
    const text = this.#frames.map((frame) => `${time(frame.at)} ${frame.direction}\n${asText(frame)}\n`).join('\n')
    navigator.clipboard?.writeText(text).catch(() => {})
  }
}

/** @param {string} name @param {string} title @param {() => void} onclick */
function button(name, title, onclick) {
  return h(
    'button',
    { type: 'button', className: 'icon-button small', title, onclick },
    icon(name),
    h('span', { className: 'sr' }, title),
  )
}

/** @param {import('../client/types.ts').FrameSeen} frame */
function row(frame) {
  const { direction, command, headers } = frame
  const about = headers.destination ?? headers.message ?? headers['receipt-id'] ?? headers['user-name'] ?? ''
  const body = readable(frame.body)
  const kind = typeof body === 'object' && body !== null && !Array.isArray(body) ? (body.type ?? body.reason ?? '') : ''
  const details = h(
    'details',
    { className: `frame ${direction}`, dataset: { command } },
    h(
      'summary',
      {},
      h('span', { className: 'arrow', title: direction }, direction === 'sent' ? '→' : '←'),
      h('span', { className: 'command' }, command),
      h('span', { className: 'about' }, about.replace(/^\/(user\/queue|app|topic)\//, '')),
      kind && h('span', { className: 'kind' }, String(kind).toLowerCase().replace('_', ' ')),
      h('time', {}, time(frame.at)),
    ),
  )
  // Most rows are never opened.
  details.addEventListener('toggle', () => details.append(...inside(headers, body)), { once: true })
  return h('li', {}, details)
}

/** @param {Readonly<Record<string, string>>} headers @param {unknown} body */
function inside(headers, body) {
  const lines = Object.entries(headers).map(([name, value]) => h('div', {}, h('b', {}, `${name}:`), ` ${value}`))
  const parts = [h('div', { className: 'headers' }, ...lines)]
  if (body === '') return parts
  const sdp = typeof body === 'object' && body !== null && typeof body.payload === 'string' ? body.payload : undefined
  const shown = sdp === undefined ? body : { ...body, payload: `${sdp.split('\n').length} lines of SDP` }
  parts.push(h('pre', {}, typeof shown === 'string' ? shown : JSON.stringify(shown, null, 2)))
  if (sdp !== undefined) parts.push(h('details', { className: 'sdp' }, h('summary', {}, 'SDP'), h('pre', {}, sdp)))
  return parts
}

/** @param {string} body */
function readable(body) {
  try {
    return JSON.parse(body)
  } catch {
    return body
  }
}

/** @param {import('../client/types.ts').FrameSeen} frame */
function asText({ command, headers, body }) {
  const head = Object.entries(headers).map(([name, value]) => `${name}:${value}`)
  return [command, ...head, '', body].join('\n')
}

/** @param {number} at */
function time(at) {
  const date = new Date(at)
  return `${date.toTimeString().slice(0, 8)}.${String(date.getMilliseconds()).padStart(3, '0')}`
}
