/** One call on the stage: faces, pictures, the status line, and the buttons that its state allows. */

import { $, h, icon, paintAvatar } from './dom.js'
import { callStatus, duration, fault, problem, reconnecting } from './words.js'

const ESCAPE_AGAIN_MS = 3000
const PATH_EVERY_MS = 2000
const MOST_CROPPED = 2
/** How long the good news stands that the server is back. */
const BACK_MS = 2500

export class CallView {
  #stage = $('stage')
  #controls = $('controls')
  #status = $('call-status')
  #problem = $('problem')
  #reconnecting = $('reconnecting')
  #remote = /** @type {HTMLVideoElement} */ ($('remote-video'))
  #local = /** @type {HTMLVideoElement} */ ($('local-video'))
  #sounds
  /** @type {import('../client/types.ts').Call | undefined} */
  #call
  /** @type {(() => void)[]} */
  #undo = []
  #escapedAt = 0
  /** @type {Element | null} */
  #focusBefore = null
  #drawn = ''
  #backAt = 0

  /** @param {import('./sounds.js').Sounds} sounds */
  constructor(sounds) {
    this.#sounds = sounds
    addEventListener('keydown', (event) => this.#key(event))
    $('unblock').addEventListener('click', () => this.#play())
    this.#remote.addEventListener('resize', () => this.#fit())
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
    this.#remote.srcObject = null
    this.#local.srcObject = null
    $('path').hidden = true
    this.#stage.dataset.state = 'idle'
    this.#stage.dataset.remoteVideo = this.#stage.dataset.localVideo = 'false'
    this.#stage.dataset.sound = 'none'
    $('unblock').hidden = true
    $('timer').textContent = ''
    this.#backAt = 0
    this.#showReconnecting('none', '')
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
    this.#stage.dataset.remoteVideo = String(call.remoteVideo)
    this.#stage.dataset.localVideo = String(call.localVideo)
    this.#stage.dataset.interrupted = String(call.interrupted)
    const status = callStatus(call)
    if (this.#status.textContent !== status) this.#status.textContent = status
    document.title = ringsHere ? `${call.peer.name} calls · Carillon` : `${call.peer.name} · Carillon`
    attach(this.#local, call.localStream)
    if (attach(this.#remote, call.remoteStream)) this.#play()
    this.#sound(ringsHere)
    this.#buttons(call, ringsHere)
    this.#tick()
  }

  /** @param {boolean} ringsHere */
  #sound(ringsHere) {
    const wanted = ringsHere ? 'ring' : this.#call?.state === 'ringing' ? 'ringback' : 'none'
    if (this.#stage.dataset.sound === wanted) return
    this.#stage.dataset.sound = wanted
    if (wanted === 'ring') this.#sounds.ring()
    else if (wanted === 'ringback') this.#sounds.ringback()
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
    return [mute, camera, control('hang-up', 'hangup', early(call) ? 'Cancel' : 'Hang up', 'no', () => call.hangUp())]
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
    badge.hidden = !path
    if (!path) return
    const ms = path.roundTripMs === undefined ? '' : ` · ${Math.max(1, Math.round(path.roundTripMs))} ms`
    badge.textContent = `${path.relayed ? 'via relay' : 'direct'}${ms}`
    badge.title = `${path.local} ↔ ${path.remote}, ${path.protocol}`
    badge.dataset.relayed = String(path.relayed)
  }

  /** A browser may forbid sound until the person touches the page. */
  #play() {
    $('unblock').hidden = true
    this.#remote.play().catch((error) => {
      if (error.name === 'NotAllowedError') $('unblock').hidden = false
    })
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
    if (event.key === 'Escape') return this.#escape(call)
    if (event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement) return
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
    const text = `Press Escape again to ${ringsHere ? 'decline' : 'hang up'}.`
    this.#say(text)
    setTimeout(() => {
      if (this.#problem.textContent === text) this.#say('')
    }, ESCAPE_AGAIN_MS)
  }

  /** Something that has to do with the call, but is not its end. @param {{ code: unknown, message: string }} error */
  complain(error) {
    this.#say(fault(error))
  }
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
