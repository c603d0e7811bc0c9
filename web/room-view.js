/** The faces of a room: a tile for everybody who is in it or rings, and one for oneself. */

import { $, h, paintAvatar } from './dom.js'
import { memberStatus } from './words.js'

export class RoomView {
  #grid = $('grid')
  /** @type {Map<string, { tile: HTMLElement, video: HTMLVideoElement, status: HTMLElement }>} */
  #tiles = new Map()
  #player

  /** @param {import('./player.js').Player} player */
  constructor(player) {
    this.#player = player
  }

  /** @param {import('../client/types.ts').Call} call */
  draw(call) {
    const members = (call.room?.members ?? []).filter(
      ({ me, state }) => me || state === 'joined' || state === 'ringing',
    )
    const others = members.filter(({ me }) => !me)
    const me = members.find((member) => member.me)
    const wanted = me ? [...others, me] : others
    for (const user of this.#tiles.keys()) if (!wanted.some(({ userId }) => userId === user)) this.#remove(user)
    for (const member of wanted) this.#draw(member, call)
    this.#grid.dataset.count = String(wanted.length)
    this.#grid.hidden = false
  }

  clear() {
    for (const user of this.#tiles.keys()) this.#remove(user)
    this.#grid.hidden = true
  }

  /** @param {import('../client/types.ts').RoomMember} member @param {import('../client/types.ts').Call} call */
  #draw(member, call) {
    const { userId, me } = member
    const found = this.#tiles.get(userId) ?? this.#make(member)
    const { tile, video, status } = found
    const stream = me ? call.localStream : member.stream
    const text = memberStatus(member)
    tile.dataset.state = member.state
    tile.dataset.video = String(me ? call.localVideo : member.video)
    if (status.textContent !== text) status.textContent = text
    if (video.srcObject === (stream ?? null)) return
    video.srcObject = stream ?? null
    if (stream) this.#player.play(video)
  }

  /** @param {string} user */
  #remove(user) {
    const { tile, video } = this.#tiles.get(user) ?? {}
    tile?.remove()
    if (tile?.classList.contains('own')) video.srcObject = null
    else if (video) this.#player.giveBack(video)
    this.#tiles.delete(user)
  }

  /** @param {import('../client/types.ts').RoomMember} member */
  #make({ userId, name, me }) {
    const own = { autoplay: true, playsInline: true, muted: true }
    const video = me ? /** @type {HTMLVideoElement} */ (h('video', own)) : this.#player.take()
    const avatar = h('span', { className: 'avatar large', 'aria-hidden': 'true' })
    paintAvatar(avatar, name)
    const status = h('span', { className: 'tile-status' })
    const caption = h('figcaption', {}, h('strong', {}, me ? 'You' : name), status)
    const tile = h('figure', { className: me ? 'tile own' : 'tile', dataset: { user: userId } }, video, avatar, caption)
    // One's own stays the last
    const mine = this.#grid.querySelector('.own')
    if (me || !mine) this.#grid.append(tile)
    else mine.before(tile)
    const made = { tile, video, status }
    this.#tiles.set(userId, made)
    return made
  }
}
