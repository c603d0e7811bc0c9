/** The list of recent calls: what the server remembers of them, with what was missed and not yet seen. */

import { $, h, icon, paintAvatar } from './dom.js'
import { fault, past, when } from './words.js'

const PAGE = 20
/** The server writes down a call a moment after its end. */
const WRITTEN_AFTER_MS = 400

export class Recents {
  #list = $('recent')
  #none = $('recent-none')
  #more = $('recent-more')
  #badge = $('missed-badge')
  #tabs = [$('tab-people'), $('tab-recent')]
  #client
  #place
  /** @type {import('../client/wire.ts').SeenRecord[]} */
  #records = []
  /** @type {string | undefined} */
  #next
  /** @type {'missed' | undefined} */
  #only
  #busy = false
  #asked = 0
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #soon

  /**
   * @param {import('../client/index.ts').CallClient} client
   * @param {(id: string, type: 'VIDEO' | 'AUDIO') => void} place
   */
  constructor(client, place) {
    this.#client = client
    this.#place = place
    client.on('missed', ({ unread }) => {
      this.#count(unread)
      this.later()
    })
    client.on('state', ({ state }) => {
      if (state === 'online') this.refresh()
      this.#draw()
    })
    this.#tabs.forEach((tab, at) => {
      tab.addEventListener('click', () => this.#open(at))
      tab.addEventListener('keydown', ({ key }) => {
        if (key !== 'ArrowLeft' && key !== 'ArrowRight') return
        this.#open(1 - at)
        this.#tabs[1 - at]?.focus()
      })
    })
    $('recent-all').addEventListener('click', () => this.#narrow(undefined))
    $('recent-missed').addEventListener('click', () => this.#narrow('missed'))
    this.#more.addEventListener('click', () => this.#ask(this.#next))
  }

  /** During a call nobody can be called back. @param {boolean} busy */
  set busy(busy) {
    this.#busy = busy
    this.#draw()
  }

  refresh() {
    this.#ask(undefined)
  }

  /** When the server will have written down what has just ended. */
  later() {
    clearTimeout(this.#soon)
    this.#soon = setTimeout(() => this.refresh(), WRITTEN_AFTER_MS)
  }

  get #shown() {
    return !$('recent-panel').hidden
  }

  /** @param {number} at */
  #open(at) {
    this.#tabs.forEach((tab, index) => {
      tab.setAttribute('aria-selected', String(index === at))
      tab.tabIndex = index === at ? 0 : -1
    })
    $('people-panel').hidden = at !== 0
    $('recent-panel').hidden = at !== 1
    if (at === 1) this.refresh()
  }

  /** @param {'missed' | undefined} only */
  #narrow(only) {
    this.#only = only
    $('recent-all').setAttribute('aria-pressed', String(only === undefined))
    $('recent-missed').setAttribute('aria-pressed', String(only === 'missed'))
    this.refresh()
  }

  /** @param {string | undefined} cursor */
  async #ask(cursor) {
    const asked = ++this.#asked
    try {
      const page = await this.#client.history({
        size: PAGE,
        ...(this.#only ? { only: this.#only } : {}),
        ...(cursor ? { cursor } : {}),
      })
      if (asked !== this.#asked) return
      this.#records = cursor ? [...this.#records, ...page.records] : [...page.records]
      this.#next = page.next
      this.#count(page.unreadMissed)
      this.#draw()
      // Who looks at them has seen them
      if (this.#shown && page.unreadMissed > 0) this.#client.markMissedRead().catch(() => {})
    } catch (error) {
      if (asked === this.#asked) this.#draw(fault(/** @type {import('../client/errors.ts').CallError} */ (error)))
    }
  }

  /** @param {number} unread */
  #count(unread) {
    this.#badge.hidden = unread === 0
    this.#badge.textContent = unread > 99 ? '99+' : String(unread)
    this.#badge.title = unread === 1 ? '1 missed call' : `${unread} missed calls`
  }

  /** @param {string} [complaint] */
  #draw(complaint) {
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.key : undefined
    this.#list.replaceChildren(...this.#records.map((record) => this.#row(record)))
    this.#none.textContent = complaint ?? (this.#only ? 'No missed calls.' : 'No calls yet.')
    this.#none.hidden = complaint === undefined && this.#records.length > 0
    this.#more.hidden = this.#next === undefined
    if (focused) this.#list.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus()
  }

  /** @param {import('../client/wire.ts').SeenRecord} record */
  #row(record) {
    const { callId, peer, direction, seenAs, type, endedAt } = record
    const name = peer?.name ?? peer?.userId ?? 'Somebody'
    const avatar = h('span', { className: 'avatar', 'aria-hidden': 'true' })
    paintAvatar(avatar, name)
    const disabled = this.#busy || this.#client.state !== 'online'
    const call = (
      /** @type {'VIDEO' | 'AUDIO'} */ wanted,
      /** @type {string} */ picture,
      /** @type {string} */ title,
    ) =>
      peer &&
      h(
        'button',
        {
          type: 'button',
          className: 'icon-button go',
          title: `${title} ${name}`,
          disabled,
          dataset: { key: `${wanted} ${callId}`, again: wanted },
          onclick: () => this.#place(peer.userId, wanted),
        },
        icon(picture),
        h('span', { className: 'sr' }, `${title} ${name}`),
      )
    return h(
      'li',
      { className: 'person past', dataset: { user: peer?.userId ?? '', seenAs } },
      avatar,
      h(
        'div',
        { className: 'who' },
        h('strong', {}, name),
        h(
          'span',
          { className: 'hint' },
          h('span', { className: 'way', 'aria-hidden': 'true' }, direction === 'incoming' ? '↙' : '↗'),
          h('span', { className: 'past-word' }, ` ${past(record)}`),
          ' · ',
          h('time', { dateTime: endedAt }, when(endedAt)),
        ),
      ),
      call('VIDEO', 'video', 'Video call'),
      call('AUDIO', 'phone', type === 'AUDIO' ? 'Call back' : 'Voice call'),
    )
  }
}
