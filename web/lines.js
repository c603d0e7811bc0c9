/** The calls beside the one on the stage: who waits to be answered, and who is on hold. */

import { $, h, icon, paintAvatar } from './dom.js'
import { besides } from './words.js'

const KNOCK_EVERY_MS = 4000

export class Lines {
  #list = $('lines')
  #sounds
  #act
  #drawn = ''
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #knocking

  /**
   * @param {import('./sounds.js').Sounds} sounds
   * @param {{ answer: (call: import('../client/types.ts').IncomingCall) => void, show: (call: import('../client/types.ts').Call) => void }} act
   */
  constructor(sounds, act) {
    this.#sounds = sounds
    this.#act = act
  }

  /**
   * @param {readonly import('../client/types.ts').Call[]} calls
   * @param {import('../client/types.ts').Call | undefined} shown
   */
  draw(calls, shown) {
    const others = shown ? calls.filter((call) => call !== shown) : []
    const key = JSON.stringify(
      others.map((call) => [call.id, rings(call), besides(call), free(call), shown?.peer.name]),
    )
    if (key === this.#drawn) return
    this.#drawn = key
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.key : undefined
    this.#list.replaceChildren(...others.map((call) => this.#row(call, shown)))
    if (focused) this.#list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus()
    this.#knock(others.some(rings))
  }

  /** @param {import('../client/types.ts').Call} call @param {import('../client/types.ts').Call | undefined} shown */
  #row(call, shown) {
    const avatar = h('span', { className: 'avatar', 'aria-hidden': 'true' })
    paintAvatar(avatar, call.peer.name)
    const hold = shown && !rings(shown) ? `Hold ${shown.peer.name} and answer` : 'Answer'
    const buttons = rings(call)
      ? [
          button(call, 'decline', 'hangup', 'Decline', 'no', () => call.decline()),
          button(call, 'answer', call.type === 'VIDEO' ? 'video' : 'phone', hold, 'yes', () => this.#act.answer(call)),
        ]
      : [free(call) && button(call, 'switch', 'swap', `Talk with ${call.peer.name}`, '', () => this.#act.show(call))]
    return h(
      'li',
      { className: 'line', dataset: { user: call.peer.userId, line: rings(call) ? 'waiting' : 'held' } },
      avatar,
      h('span', { className: 'who', role: 'status' }, h('strong', {}, call.peer.name), h('span', {}, besides(call))),
      ...buttons,
    )
  }

  /** @param {boolean} on */
  #knock(on) {
    if (on === (this.#knocking !== undefined)) return
    clearInterval(this.#knocking)
    this.#knocking = on ? setInterval(() => this.#sounds.knock(), KNOCK_EVERY_MS) : undefined
    if (on) this.#sounds.knock()
  }
}

/** @param {import('../client/types.ts').Call} call @returns {call is import('../client/types.ts').IncomingCall} */
function rings(call) {
  return call.direction === 'incoming' && call.state === 'ringing'
}

/** One may go over to it. @param {import('../client/types.ts').Call} call */
function free(call) {
  return call.transferring === undefined
}

/**
 * @param {import('../client/types.ts').Call} call
 * @param {string} name @param {string} picture @param {string} label @param {string} kind @param {() => void} onclick
 */
function button(call, name, picture, label, kind, onclick) {
  return h(
    'button',
    {
      type: 'button',
      className: `line-button ${kind}`,
      title: label,
      dataset: { key: `${name} ${call.id}`, act: name },
      onclick,
    },
    icon(picture),
    h('span', { className: 'sr' }, label),
  )
}
