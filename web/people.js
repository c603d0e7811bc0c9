/** The list of people: whom this browser has met, and everybody whose coming or going the server tells. */

import { $, h, icon, paintAvatar } from './dom.js'
import { forget, onPeopleChange, people, remember } from './storage.js'

/** Strangers in the list at a time: on a busy server thousands come and go. */
const MOST_STRANGERS = 50

export class People {
  #list = $('people')
  #nobody = $('nobody')
  #client
  #place
  #me
  /** Seen on the wire, not yet met. @type {Map<string, true>} */
  #strangers = new Map()
  #busy = false

  /**
   * @param {import('../client/index.ts').CallClient} client
   * @param {string} me
   * @param {(id: string, type: 'VIDEO' | 'AUDIO') => void} place
   */
  constructor(client, me, place) {
    this.#me = me
    this.#client = client
    this.#place = place
    client.on('presence', (changes) => this.#changed(changes))
    client.on('state', () => this.#draw())
    onPeopleChange(() => this.refresh())
  }

  /** Asks about everybody who is known. */
  refresh() {
    const ids = people().map(({ id }) => id)
    this.#client.watch(ids).catch(() => {}) // asked again when the connection is back
    this.#draw()
  }

  /** @param {string} id @param {string} [note] */
  meet(id, note) {
    remember(id, note)
    this.refresh()
  }

  /** During a call nobody else can be called. @param {boolean} busy */
  set busy(busy) {
    this.#busy = busy
    this.#draw()
  }

  /** @param {readonly { userId: string, status: string }[]} changes */
  #changed(changes) {
    const known = new Set(people().map(({ id }) => id))
    for (const { userId, status } of changes) {
      if (known.has(userId)) continue
      if (status === 'ONLINE' && this.#strangers.size < MOST_STRANGERS) this.#strangers.set(userId, true)
      if (status === 'OFFLINE') this.#strangers.delete(userId)
    }
    this.#draw()
  }

  #draw() {
    const met = people()
    const known = new Set(met.map(({ id }) => id))
    const strangers = [...this.#strangers.keys()].filter((id) => !known.has(id)).map((id) => ({ id, at: 0 }))
    const online = (/** @type {string} */ id) => this.#client.presence.get(id) === 'ONLINE'
    const all = [...met, ...strangers]
      .filter(({ id }) => id !== this.#me)
      .sort((a, b) => Number(online(b.id)) - Number(online(a.id)) || b.at - a.at)
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.key : undefined
    this.#list.replaceChildren(...all.map((person) => this.#row(person, online(person.id))))
    this.#nobody.hidden = all.length > 0
    // Redrawing must not throw a keyboard's user out of the list.
    if (focused) this.#list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus()
  }

  /** @param {{ id: string, note?: string }} person @param {boolean} online */
  #row({ id, note }, online) {
    const avatar = h('span', { className: `avatar ${online ? 'online' : ''}`, 'aria-hidden': 'true' })
    paintAvatar(avatar, id)
    const disabled = this.#busy || this.#client.state !== 'online'
    const call = (/** @type {'VIDEO' | 'AUDIO'} */ type, /** @type {string} */ name, /** @type {string} */ title) =>
      h(
        'button',
        {
          type: 'button',
          className: 'icon-button go',
          title: `${title} ${id}`,
          disabled,
          dataset: { key: `${type} ${id}` },
          onclick: () => this.#place(id, type),
        },
        icon(name),
        h('span', { className: 'sr' }, `${title} ${id}`),
      )
    return h(
      'li',
      { className: 'person', dataset: { user: id, status: online ? 'online' : 'offline' } },
      avatar,
      h(
        'div',
        { className: 'who' },
        h('strong', {}, id),
        h(
          'span',
          { className: 'hint' },
          h('span', { className: 'status' }, online ? 'online' : 'offline'),
          note ? ` · ${note}` : '',
        ),
      ),
      h(
        'button',
        {
          type: 'button',
          className: 'icon-button small remove',
          title: `Forget ${id}`,
          dataset: { key: `forget ${id}` },
          onclick: () => {
            forget(id)
            this.#strangers.delete(id)
            this.#client.unwatch([id])
            this.#draw()
          },
        },
        icon('close'),
        h('span', { className: 'sr' }, `Forget ${id}`),
      ),
      call('VIDEO', 'video', 'Video call'),
      call('AUDIO', 'phone', 'Voice call'),
    )
  }
}
