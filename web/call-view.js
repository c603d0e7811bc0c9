/** One call on the stage: faces, pictures, the status line, and the buttons that its state allows. */

import { $, h, icon, paintAvatar } from './dom.js'
import { Player } from './player.js'
import { RoomView } from './room-view.js'
import { callStatus, duration, fault, memberNews, problem, reconnecting, roomTitle, transferNews } from './words.js'

/** As style.css has it: on a telephone the stage covers all the rest. */
const NARROW = matchMedia('(max-width: 52rem)')
const ESCAPE_AGAIN_MS = 3000
const PATH_EVERY_MS = 2000
const MOST_CROPPED = 2
/** How long the good news stands that the server is back. */
const BACK_MS = 2500
/** How long it stands who has come or gone. */
const NEWS_MS = 4000

/**
 * What the page does for the buttons that need more than the call itself.
 * @typedef {object} Actions
 * @property {(call: import('../client/types.ts').Call) => void} hold puts it on hold, or takes it back
 * @property {(call: import('../client/types.ts').Call) => void} transfer
 * @property {(call: import('../client/types.ts').Call) => void} add
 * @property {(call: import('../client/types.ts').Call) => number} placesLeft how many more people may come
 * @property {(call: import('../client/types.ts').Call) => import('../client/types.ts').Call | undefined} waiting the call on hold whose other side may be passed on to this one
 */

export class CallView {
  #stage = $('stage')
  #controls = $('controls')
  #status = $('call-status')
  #problem = $('problem')
  #reconnecting = $('reconnecting')
  #remote = /** @type {HTMLVideoElement} */ ($('remote-video'))
  #local = /** @type {HTMLVideoElement} */ ($('local-video'))
  #sounds
  #actions
  #player = new Player(this.#remote)
  #room = new RoomView(this.#player)
  /** Of the room, by user, to tell what has changed. @type {Map<string, string>} */
  #members = new Map()
  /** @type {import('../client/types.ts').Call | undefined} */
  #call
  /** @type {(() => void)[]} */
  #undo = []
  #escapedAt = 0
  /** @type {Element | null} */
  #focusBefore = null
  #drawn = ''
  #backAt = 0

  /** @param {import('./sounds.js').Sounds} sounds @param {Actions} actions */
  constructor(sounds, actions) {
    this.#sounds = sounds
    this.#actions = actions
    addEventListener('keydown', (event) => this.#key(event))
    this.#remote.addEventListener('resize', () => this.#fit())
    NARROW.addEventListener('change', () => this.#cover())
    new ResizeObserver(() => this.#fit()).observe(this.#stage)
  }

  get call() {
    return this.#call
  }

  /**
   * Shows a call until it ends.
   * @param {import('../client/types.ts').Call} call
   */
  show(call) {
    this.#leave()
    this.#call = call
    this.#focusBefore = document.activeElement
    this.#cover()
    this.#drawn = ''
    const { name } = call.peer
    paintAvatar($('peer-avatar'), name)
    $('peer-name').textContent = name
    $('over-name').textContent = name
    this.#say('')
    const timer = setInterval(() => this.#tick(), 250)
    const path = setInterval(() => this.#path(), PATH_EVERY_MS)
    this.#undo = [
      call.on('state', () => this.#draw()),
      call.on('media', () => this.#draw()),
      call.on('interrupted', () => this.#draw()),
      call.on('held', () => this.#draw()),
      call.on('room', () => this.#draw()),
      call.on('transfer', (news) => {
        this.#tell(transferNews(news, call.peer.name))
        this.#draw()
      }),
      call.on('reconnecting', (on) => {
        this.#backAt = on ? 0 : Date.now()
        this.#draw()
      }),
      call.on('problem', (error) => {
        this.#say(problem(error, call))
        this.#draw()
      }),
      () => clearInterval(timer),
      () => clearInterval(path),
    ]
    this.#draw()
  }

  #leave() {
    for (const undo of this.#undo.splice(0)) undo()
    this.#sounds.stop()
    this.#call = undefined
    this.#player.stop(this.#remote)
    this.#local.srcObject = null
    $('path').hidden = true
    this.#room.clear()
    this.#members.clear()
    this.#stage.dataset.held = 'none'
    this.#stage.dataset.room = 'false'
    this.#stage.dataset.state = 'idle'
    this.#stage.dataset.remoteVideo = this.#stage.dataset.localVideo = 'false'
    this.#stage.dataset.sound = 'none'
    $('timer').textContent = ''
    this.#cover()
    this.#backAt = 0
    this.#showReconnecting('none', '')
  }

  /** What is covered is not to be reached by Tab, nor read out. */
  #cover() {
    const covered = NARROW.matches && this.#call !== undefined
    for (const part of document.querySelectorAll('.bar, .people-pane')) part.toggleAttribute('inert', covered)
  }

  /** Also when what is on the stage is as it was, but a call beside it is not. */
  draw() {
    this.#draw()
  }

  #draw() {
    const call = this.#call
    if (!call) return
    if (call.state === 'ended') {
      this.#leave()
      this.#controls.replaceChildren()
      document.title = 'Carillon'
      if (this.#focusBefore instanceof HTMLElement && this.#focusBefore.isConnected) this.#focusBefore.focus()
      return
    }
    const ringsHere = call.direction === 'incoming' && call.state === 'ringing'
    this.#stage.dataset.state = ringsHere ? 'incoming' : call.state
    const inRoom = call.room !== undefined && !ringsHere
    this.#stage.dataset.room = String(inRoom)
    this.#stage.dataset.held = heldBy(call)
    this.#stage.dataset.remoteVideo = String(call.remoteVideo && !inRoom)
    this.#stage.dataset.localVideo = String(call.localVideo)
    this.#stage.dataset.interrupted = String(call.interrupted)
    const status = callStatus(call)
    if (this.#status.textContent !== status) this.#status.textContent = status
    document.title = ringsHere ? `${call.peer.name} calls · Carillon` : `${call.peer.name} · Carillon`
    attach(this.#local, inRoom ? undefined : call.localStream)
    if (inRoom) this.#player.stop(this.#remote)
    else if (attach(this.#remote, call.remoteStream)) this.#player.play(this.#remote)
    if (inRoom) this.#drawRoom(call)
    this.#sound(ringsHere)
    this.#buttons(call, ringsHere)
    this.#tick()
  }

  /** @param {import('../client/types.ts').Call} call */
  #drawRoom(call) {
    const { room } = call
    if (!room) return
    this.#room.draw(call)
    $('over-name').textContent = roomTitle(room)
    document.title = `${roomTitle(room)} · Carillon`
    for (const member of room.members) {
      const before = this.#members.get(member.userId)
      this.#members.set(member.userId, member.state)
      // Those who are there from the beginning are no news
      if (before !== member.state && !member.me && before !== undefined) this.#tell(memberNews(member, before))
    }
  }

  /** @param {boolean} ringsHere */
  #sound(ringsHere) {
    const onHold = this.#stage.dataset.held === 'peer'
    const ringback = this.#call?.state === 'ringing' ? 'ringback' : onHold ? 'hold' : 'none'
    const wanted = ringsHere ? 'ring' : ringback
    if (this.#stage.dataset.sound === wanted) return
    this.#stage.dataset.sound = wanted
    if (wanted === 'ring') this.#sounds.ring()
    else if (wanted === 'ringback') this.#sounds.ringback()
    else if (wanted === 'hold') this.#sounds.hold()
    else this.#sounds.stop()
  }

  /** @param {import('../client/types.ts').Call} call @param {boolean} ringsHere */
  #buttons(call, ringsHere) {
    // Only what changes is drawn anew, so that the focus stays where it is.
    const key = JSON.stringify([
      call.id,
      ringsHere,
      early(call),
      call.state === 'calling',
      call.hasMicrophone,
      call.muted,
      call.localVideo,
      call.can,
      call.held.byMe,
      this.#actions.waiting(call)?.peer.name,
      this.#actions.placesLeft(call) > 0,
    ])
    if (key === this.#drawn) return
    const first = !this.#drawn.startsWith(JSON.stringify([call.id, ringsHere]).slice(0, -1))
    this.#drawn = key
    const focused = document.activeElement?.id
    this.#controls.replaceChildren(...(ringsHere ? this.#answerButtons(call) : this.#talkButtons(call)))
    if (first) this.#focusFirst(ringsHere)
    else if (focused && this.#controls.querySelector(`#${CSS.escape(focused)}`)) $(focused).focus()
  }

  /** Never away from somebody who is typing: the next Enter would answer a call. @param {boolean} ringsHere */
  #focusFirst(ringsHere) {
    const active = document.activeElement
    const typing = active instanceof HTMLInputElement && active.value !== '' && ringsHere
    if (!typing) $(ringsHere ? 'accept' : 'hang-up').focus({ preventScroll: true })
  }

  /** @param {import('../client/types.ts').Call} call */
  #answerButtons(call) {
    const accept = (/** @type {'VIDEO' | 'AUDIO'} */ type) => () => {
      this.#sounds.unlock()
      // What goes wrong ends the call, and its outcome says so.
      call.accept({ type }).catch(() => {})
    }
    const video = call.type === 'VIDEO'
    return [
      control('decline', 'hangup', 'Decline', 'no', () => call.decline()),
      video && control('accept-voice', 'phone', 'Voice only', '', accept('AUDIO')),
      control('accept', video ? 'video' : 'phone', 'Accept', 'yes', accept(call.type)),
    ].filter(Boolean)
  }

  /** @param {import('../client/types.ts').Call} call */
  #talkButtons(call) {
    const mute = control(
      'mute',
      call.muted || !call.hasMicrophone ? 'mic-off' : 'mic',
      call.hasMicrophone ? (call.muted ? 'Unmute' : 'Mute') : 'No microphone',
      '',
      () => call.mute(!call.muted),
    )
    mute.disabled = !call.hasMicrophone
    mute.setAttribute('aria-pressed', String(call.muted))
    const camera = control(
      'camera',
      call.localVideo ? 'video' : 'video-off',
      call.localVideo ? 'Camera off' : 'Camera on',
      '',
      () => this.#camera(call),
    )
    camera.setAttribute('aria-pressed', String(!call.localVideo))
    camera.disabled = call.state === 'calling'
    const hangUp = control('hang-up', 'hangup', early(call) ? 'Cancel' : 'Hang up', 'no', () => call.hangUp())
    return [mute, camera, ...this.#moreButtons(call), hangUp]
  }

  /** What the other side's program cannot do is not offered. @param {import('../client/types.ts').Call} call */
  #moreButtons(call) {
    const { hold, transfer, add, waiting } = this.#actions
    const onHold = call.held.byMe
    const pause = control('hold', onHold ? 'resume' : 'hold', onHold ? 'Resume' : 'Hold', '', () => hold(call))
    pause.setAttribute('aria-pressed', String(onHold))
    const other = waiting(call)
    const pass = other
      ? control('complete', 'transfer', `Transfer ${other.peer.name}`, 'yes', () => transfer(call))
      : control('transfer', 'transfer', 'Transfer', '', () => transfer(call))
    const plus = control('add', 'add', 'Add', '', () => add(call))
    return [
      (call.can.hold || onHold) && !call.transferring && pause,
      call.can.transfer && pass,
      call.can.invite && !other && this.#actions.placesLeft(call) > 0 && plus,
    ].filter((button) => button !== false)
  }

  /** @param {import('../client/types.ts').Call} call */
  #camera(call) {
    const on = !call.localVideo
    call.camera(on).then(
      () => this.#say(''),
      (error) => this.#say(problem(error, call)),
    )
  }

  /** @param {'none' | 'away' | 'back'} state @param {string} text */
  #showReconnecting(state, text) {
    this.#stage.dataset.reconnecting = state
    if (this.#reconnecting.textContent !== text) this.#reconnecting.textContent = text
  }

  #tick() {
    const call = this.#call
    if (!call) return
    if (call.reconnecting) this.#showReconnecting('away', reconnecting(call))
    else if (Date.now() - this.#backAt < BACK_MS) this.#showReconnecting('back', 'Connected to the server again')
    else this.#showReconnecting('none', '')
    $('timer').textContent = call.state === 'connected' ? duration(call.elapsed) : ''
  }

  async #path() {
    const path = await this.#call?.path().catch(() => undefined)
    const badge = $('path')
    badge.hidden = !path || this.#call?.room !== undefined
    if (!path) return
    const ms = path.roundTripMs === undefined ? '' : ` · ${Math.max(1, Math.round(path.roundTripMs))} ms`
    badge.textContent = `${path.relayed ? 'via relay' : 'direct'}${ms}`
    badge.title = `${path.local} ↔ ${path.remote}, ${path.protocol}`
    badge.dataset.relayed = String(path.relayed)
  }

  /** The picture fills the stage, unless too much of it would be cut off. */
  #fit() {
    const { videoWidth, videoHeight } = this.#remote
    const { clientWidth, clientHeight } = this.#stage
    if (!videoHeight || !clientHeight) return
    const stretch = videoWidth / videoHeight / (clientWidth / clientHeight)
    this.#stage.dataset.fit = Math.max(stretch, 1 / stretch) < MOST_CROPPED ? 'fill' : 'whole'
  }

  /** @param {string} text */
  #say(text) {
    this.#problem.textContent = text
    this.#problem.hidden = text === ''
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const call = this.#call
    if (!call || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return
    if (document.querySelector('dialog[open]')) return
    if (event.key === 'Escape') return this.#escape(call)
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement) return
    if (event.key === 'h' && (call.can.hold || call.held.byMe)) this.#actions.hold(call)
    if (event.key === 'm' && call.hasMicrophone) call.mute(!call.muted)
    if (event.key === 'v' && call.state !== 'calling' && !(call.direction === 'incoming' && call.state === 'ringing')) {
      this.#camera(call)
    }
  }

  /** Ends a call only when pressed twice: once is too easily done. @param {import('../client/types.ts').Call} call */
  #escape(call) {
    if (Date.now() - this.#escapedAt < ESCAPE_AGAIN_MS) {
      this.#escapedAt = 0
      call.hangUp()
      return
    }
    this.#escapedAt = Date.now()
    const ringsHere = call.direction === 'incoming' && call.state === 'ringing'
    this.#tell(`Press Escape again to ${ringsHere ? 'decline' : 'hang up'}.`, ESCAPE_AGAIN_MS)
  }

  /** For a while. @param {string} text @param {number} [ms] */
  #tell(text, ms = NEWS_MS) {
    if (text === '') return
    this.#say(text)
    setTimeout(() => {
      if (this.#problem.textContent === text) this.#say('')
    }, ms)
  }

  /** Of another call, beside this one; it goes by itself. @param {string} text */
  note(text) {
    this.#tell(text)
  }

  /** Something that has to do with the call, but is not its end. @param {{ code: unknown, message: string }} error */
  complain(error) {
    this.#say(fault(error))
  }
}

/** @param {import('../client/types.ts').Call} call @returns who keeps it from being heard: the other side alone has music */
function heldBy({ held, transferring, room, state }) {
  if (state !== 'connected') return 'none'
  if (held.byMe || transferring?.byMe) return 'me'
  return transferring || (held.byPeer && !room) ? 'peer' : 'none'
}

/** Nobody has answered yet. @param {import('../client/types.ts').Call} call */
function early(call) {
  return call.state === 'calling' || call.state === 'ringing'
}

/** @param {HTMLVideoElement} video @param {MediaStream | undefined} stream @returns whether it is new */
function attach(video, stream) {
  const wanted = stream ?? null
  if (video.srcObject === wanted) return false
  video.srcObject = wanted
  return wanted !== null
}

/** @param {string} id @param {string} name @param {string} label @param {string} kind @param {() => void} onclick */
function control(id, name, label, kind, onclick) {
  return /** @type {HTMLButtonElement} */ (
    h(
      'button',
      { id, type: 'button', className: `control ${kind}`, title: label, onclick },
      h('span', { className: 'disc' }, icon(name)),
      h('span', { className: 'label' }, label),
    )
  )
}
