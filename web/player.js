/**
 * Plays what comes from others. Browsers let nothing sound before the person has touched the page, and some want that for each
 * element anew: so the elements that a call may need later are made ready whenever the page is touched.
 */

import { $, h } from './dom.js'

/** For the others of a room. */
const SPARE = 5

export class Player {
  #button = $('unblock')
  /** @type {HTMLVideoElement[]} */
  #spare = []
  /** May sound whenever they are asked to. @type {WeakSet<HTMLVideoElement>} */
  #allowed = new WeakSet()
  /** Shown without their sound until the page is touched. @type {Set<HTMLVideoElement>} */
  #silenced = new Set()

  /** @param {HTMLVideoElement} first the one that a call of two needs */
  constructor(first) {
    const touched = () => this.#touched(first)
    addEventListener('click', touched, { capture: true })
    addEventListener('keydown', touched, { capture: true })
    this.#button.addEventListener('click', () => this.#sound())
  }

  /** One more element. */
  take() {
    return this.#spare.pop() ?? made()
  }

  /** It is not needed any more. @param {HTMLVideoElement} video */
  giveBack(video) {
    this.stop(video)
    video.remove()
    if (this.#spare.length < SPARE) this.#spare.push(video)
  }

  /** With its sound; where the browser forbids that, the picture alone, and a button for the rest. @param {HTMLVideoElement} video */
  play(video) {
    video.play().catch((error) => {
      if (error.name !== 'NotAllowedError' || video.muted) return
      this.#silenced.add(video)
      video.muted = true
      this.#button.hidden = false
      video.play().catch(() => {}) // then it is the browser's wish that nothing is seen either
    })
  }

  /** @param {HTMLVideoElement} video */
  stop(video) {
    video.srcObject = null
    if (!this.#silenced.delete(video)) return
    video.muted = false
    this.#button.hidden = this.#silenced.size === 0
  }

  /** While the person touches the page, loading an element is what allows it to play later (HTML, "media elements"). @param {HTMLVideoElement} first */
  #touched(first) {
    while (this.#spare.length < SPARE) this.#spare.push(made())
    for (const video of [first, ...this.#spare]) {
      if (this.#allowed.has(video) || video.srcObject) continue
      video.load()
      this.#allowed.add(video)
    }
  }

  #sound() {
    this.#button.hidden = true
    for (const video of this.#silenced) {
      this.#silenced.delete(video)
      video.muted = false
      this.play(video)
    }
  }
}

function made() {
  return /** @type {HTMLVideoElement} */ (h('video', { autoplay: true, playsInline: true }))
}
