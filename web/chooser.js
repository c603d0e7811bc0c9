/** Asks for one person or several of those who are known, or for a name that is typed. */

import { $, h, paintAvatar } from './dom.js'
import { people } from './storage.js'

export class Chooser {
  #dialog = /** @type {HTMLDialogElement} */ ($('chooser'))
  #list = $('chooser-list')
  #name = /** @type {HTMLInputElement} */ ($('chooser-name'))
  #buttons = $('chooser-buttons')
  #client
  /** @type {(answer: { users: string[], action: string } | undefined) => void} */
  #answer = () => {}
  #most = 1

  /** @param {import('../client/index.ts').CallClient} client */
  constructor(client) {
    this.#client = client
    $('chooser-form').addEventListener('submit', (event) => {
      event.preventDefault()
      const users = this.#chosen()
      const action = /** @type {SubmitEvent} */ (event).submitter?.getAttribute('value') ?? ''
      if (users.length > 0) this.#close({ users, action })
      else this.#name.focus()
    })
    this.#list.addEventListener('change', () => this.#allow())
    this.#name.addEventListener('input', () => this.#allow())
    $('chooser-close').addEventListener('click', () => this.#close(undefined))
    this.#dialog.addEventListener('close', () => this.#close(undefined))
  }

  /**
   * @param {{ title: string, note: string, most: number, without: string[], actions: { value: string, label: string }[] }} question
   * @returns {Promise<{ users: string[], action: string } | undefined>} nothing: the person has thought better of it
   */
  ask({ title, note, most, without, actions }) {
    this.#close(undefined)
    this.#most = most
    $('chooser-title').textContent = title
    $('chooser-note').textContent = note
    this.#name.value = ''
    const online = (/** @type {string} */ id) => this.#client.presence.get(id) === 'ONLINE'
    const known = new Set([...people().map(({ id }) => id), ...this.#client.presence.keys()])
    const all = [...known].filter(
      (id) => !without.includes(id) && (online(id) || people().some((one) => one.id === id)),
    )
    all.sort((a, b) => Number(online(b)) - Number(online(a)))
    this.#list.replaceChildren(...all.map((id) => this.#row(id, online(id))))
    this.#buttons.replaceChildren(
      ...actions.map(({ value, label }, at) =>
        h('button', { type: 'submit', className: at === actions.length - 1 ? 'primary' : 'second', value }, label),
      ),
    )
    this.#allow()
    return new Promise((answer) => {
      this.#answer = answer
      this.#dialog.showModal()
    })
  }

  /** What it asked about is over. */
  close() {
    this.#close(undefined)
  }

  /** @param {string} id @param {boolean} online */
  #row(id, online) {
    const avatar = h('span', { className: `avatar ${online ? 'online' : ''}`, 'aria-hidden': 'true' })
    paintAvatar(avatar, id)
    const box = h('input', { type: this.#most > 1 ? 'checkbox' : 'radio', name: 'who', value: id })
    return h(
      'li',
      {},
      h(
        'label',
        { className: 'choice', dataset: { user: id } },
        box,
        avatar,
        h(
          'span',
          { className: 'who' },
          h('strong', {}, id),
          h('span', { className: 'hint' }, online ? 'online' : 'offline'),
        ),
      ),
    )
  }

  #chosen() {
    const typed = this.#name.value.trim()
    const boxes = /** @type {HTMLInputElement[]} */ ([...this.#list.querySelectorAll('input:checked')])
    const ticked = boxes.map(({ value }) => value)
    if (typed === '') return ticked
    return this.#most > 1 ? [...new Set([...ticked, typed])] : [typed]
  }

  #allow() {
    const count = this.#chosen().length
    for (const button of this.#buttons.querySelectorAll('button')) button.disabled = count === 0 || count > this.#most
  }

  /** @param {{ users: string[], action: string } | undefined} answer */
  #close(answer) {
    const tell = this.#answer
    this.#answer = () => {}
    if (this.#dialog.open) this.#dialog.close()
    tell(answer)
  }
}
