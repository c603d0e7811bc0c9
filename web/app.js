/** The softphone: signs in, joins the client with the views. `carillon` in the browser's console is the client. */

import { CallClient, TokenRefusedError } from 'carillon/client'
import { CallView } from './call-view.js'
import { Chooser } from './chooser.js'
import { $, iconReference, keepIcons, paintAvatar } from './dom.js'
import { FramesPanel } from './frames.js'
import { Lines } from './lines.js'
import { People } from './people.js'
import { Recents } from './recents.js'
import { signIn, tokenOf } from './sign-in.js'
import { Sounds } from './sounds.js'
import { remember, settings, tab } from './storage.js'
import { fault, outcome } from './words.js'

const query = new URLSearchParams(location.search)
let relayOnly = query.get('relay') === '1'

const sounds = new Sounds()
sounds.on = settings.sound
const frames = new FramesPanel()
/** With us so many are in a room: no server lets more in (GROUP_MESH_MAX), and what this one has refused is too many. */
let mostInARoom = 8

addEventListener('pointerdown', () => sounds.unlock(), { once: true })
addEventListener('keydown', () => sounds.unlock(), { once: true })

await keepIcons().catch(() => {}) // then each is fetched when it is shown
const who = tab.who ?? (await signIn())
openPhone(who)

/** @param {{ name: string, token?: string, pasted?: boolean }} who */
function openPhone(who) {
  tab.who = who
  remember(who.name)
  $('phone').hidden = false
  $('my-name').textContent = who.name
  paintAvatar($('my-avatar'), who.name)

  const provider = tokenOf(who)
  const client = new CallClient({
    url: '/imserver/ws',
    userId: who.name,
    token: () => provider.token(),
    renewToken: provider.renew,
    rtc: (configuration) =>
      new RTCPeerConnection({ ...configuration, iceTransportPolicy: relayOnly ? 'relay' : 'all' }),
  })
  const people = new People(client, who.name, place)
  const recents = new Recents(client, place)
  const chooser = new Chooser(client)
  const view = new CallView(sounds, { hold: toggleHold, transfer, add, waiting, placesLeft })
  const lines = new Lines(sounds, { answer, show: goOver })
  Object.assign(globalThis, { carillon: client })

  /** @type {WeakSet<import('../client/types.ts').Call>} */
  const begun = new WeakSet()
  /** Put on hold for the sake of another call, not by the button: they go on by themselves when that is over. */
  const parked = new WeakSet()

  client.on('frame', (frame) => frames.add(frame))
  client.on('state', (change) => {
    if (change.cause?.code === 401) provider.refused()
    showConnection(change)
    if (change.state === 'online') people.refresh()
  })
  client.on('error', (error) => {
    if (error instanceof TokenRefusedError) leave(`The server refused this sign-in: ${error.message}`)
    else if (view.call) view.complain(error)
    else tell(fault(error))
  })
  client.on('outgoing', (call) => begin(call))
  client.on('incoming', (call) => begin(call))
  client.on('switched', (call) => begin(call))

  $('dial').addEventListener('submit', (event) => {
    event.preventDefault()
    const field = /** @type {HTMLInputElement} */ ($('callee'))
    const callee = field.value.trim()
    const button = /** @type {SubmitEvent} */ (event).submitter
    if (callee === '') return field.focus()
    field.value = ''
    place(callee, button?.getAttribute('value') === 'AUDIO' ? 'AUDIO' : 'VIDEO')
  })
  $('sign-out').addEventListener('click', () => leave())
  $('outcome-close').addEventListener('click', () => tell(''))
  // A page that is left is no device any more. What rings goes on ringing: here again, when the page was only reloaded
  addEventListener('pagehide', () => void client.disconnect())
  addEventListener('pageshow', ({ persisted }) => persisted && location.reload())

  client.connect().catch(() => {}) // told by `state` and `error`
  people.refresh()

  /** @param {string} callee @param {'VIDEO' | 'AUDIO'} type */
  function place(callee, type) {
    sounds.unlock()
    if (callee === who.name) return tell('That is you. Open a second tab with another name.')
    const inCall = client.calls.some(({ state, peer }) => state !== 'ringing' || peer.userId !== callee)
    if (inCall) return tell('You are in a call: hang up first.')
    people.meet(callee)
    // When both call each other, theirs is answered.
    client.call(callee, { type, name: who.name }).then(begin, (error) => tell(fault(error)))
  }

  /** @param {import('../client/types.ts').Call} call */
  function begin(call) {
    if (call.state === 'ended' || begun.has(call)) return
    begun.add(call)
    const before = view.call
    tell('')
    people.meet(call.peer.userId)
    busy()
    call.on('state', ({ state }) => {
      // Rang while a call of our own was still being prepared: answering the one gives the other up.
      if (state === 'connecting' && !call.replaces && (before?.state === 'calling' || before?.state === 'ringing'))
        before.hangUp()
      if (state === 'ended') over(call)
      else arrange()
    })
    call.on('held', arrange)
    call.on('transfer', arrange)
    call.on('room', () => {
      for (const { userId, me } of call.room?.members ?? []) if (!me) people.meet(userId)
      arrange()
    })
    // Whoever talks is not torn away by a call that knocks
    const knocks = call.direction === 'incoming' && call.state === 'ringing' && talks(before)
    if (!knocks) view.show(call)
    arrange()
  }

  /** @param {import('../client/types.ts').Call} call */
  function over(call) {
    people.meet(call.peer.userId, note(call))
    recents.later()
    busy()
    const others = client.calls.filter((other) => other !== call)
    const shown = view.call
    const settled = call.endReason === 'hung-up' || call.endReason === 'transferred'
    if (others.length === 0) tell(outcome(call), settled ? undefined : call)
    else if (shown === undefined || shown.state === 'ended') {
      const next = others.find(({ state }) => state === 'connected') ?? others[0]
      if (next && begun.has(next)) goOver(next)
      else if (next) begin(next)
      // What becomes of a transfer is told by the call that goes on
      if (!settled && !call.replaces) view.note(outcome(call))
    }
    chooser.close()
    arrange()
  }

  function arrange() {
    lines.draw(client.calls, view.call)
    view.draw()
  }

  function busy() {
    people.busy = recents.busy = client.calls.length > 0
  }

  /** @param {import('../client/types.ts').Call | undefined} call */
  function talks(call) {
    return call !== undefined && (call.state === 'connecting' || call.state === 'connected')
  }

  /** Shows another call, and talks in it if it was left for one that is over. @param {import('../client/types.ts').Call} call */
  function goOver(call) {
    const before = view.call
    if (before && before !== call && talks(before)) parked.add(before)
    view.show(call)
    const ended = before === undefined || before.state === 'ended'
    if (call.held.byMe && (!ended || parked.has(call))) {
      parked.delete(call)
      call.resume().catch((error) => view.complain(error))
    }
    arrange()
  }

  /** @param {import('../client/types.ts').IncomingCall} call */
  function answer(call) {
    sounds.unlock()
    if (view.call && talks(view.call)) parked.add(view.call)
    view.show(call)
    // What goes wrong ends the call, and its outcome says so.
    call.accept().catch(() => {})
    arrange()
  }

  /** @param {import('../client/types.ts').Call} call */
  function toggleHold(call) {
    parked.delete(call)
    const done = call.held.byMe ? call.resume() : call.hold()
    done.catch((error) => view.complain(error))
  }

  /** @param {import('../client/types.ts').Call} call */
  function waiting(call) {
    if (!call.can.transfer) return undefined
    return client.calls.find((other) => other !== call && other.held.byMe && other.can.transfer)
  }

  /** @param {import('../client/types.ts').Call} call */
  async function transfer(call) {
    const other = waiting(call)
    if (other) return other.transfer(call).catch((error) => view.complain(error))
    const answer = await chooser.ask({
      title: `Transfer ${call.peer.name}`,
      note: `To whom? “Ask first” puts ${call.peer.name} on hold while you talk with them.`,
      most: 1,
      without: [who.name, call.peer.userId],
      actions: [
        { value: 'ask', label: 'Ask first' },
        { value: 'now', label: 'Transfer now' },
      ],
    })
    const [target] = answer?.users ?? []
    if (!answer || target === undefined || call.state === 'ended') return
    people.meet(target)
    if (answer.action === 'now') return call.transfer(target).catch((error) => view.complain(error))
    await consult(call, target)
  }

  /** @param {import('../client/types.ts').Call} call @param {string} target */
  async function consult(call, target) {
    try {
      parked.add(call)
      await call.hold()
      const asked = await client.call(target, { type: call.localVideo ? 'VIDEO' : 'AUDIO', name: who.name })
      begin(asked)
    } catch (error) {
      if (call.held.byMe) call.resume().catch(() => {})
      view.complain(error)
    }
  }

  /** @param {import('../client/types.ts').Call} call */
  function placesLeft({ room }) {
    const there = (room?.members ?? []).filter(({ state }) => state === 'joined' || state === 'ringing')
    return mostInARoom - (room ? there.length : 2)
  }

  /** @param {import('../client/types.ts').Call} call */
  async function add(call) {
    const there = (call.room?.members ?? []).filter(({ state }) => state === 'joined' || state === 'ringing')
    const free = placesLeft(call)
    const answer = await chooser.ask({
      title: 'Add people',
      note:
        free > 1
          ? 'They see and hear everybody, and everybody sees and hears them.'
          : 'They see and hear everybody. One more can come.',
      most: free,
      without: [who.name, ...(call.room ? there.map(({ userId }) => userId) : [call.peer.userId])],
      actions: [{ value: 'add', label: 'Ring them' }],
    })
    if (!answer || call.state === 'ended') return
    const most = mostInARoom - free + answer.users.length - 1
    call.invite(answer.users).catch((error) => {
      if (error.code === 1009) mostInARoom = Math.min(mostInARoom, most)
      view.complain(error)
      arrange()
    })
  }

  /** @param {string} text @param {import('../client/types.ts').Call} [call] one that may be tried again */
  function tell(text, call) {
    $('outcome-text').textContent = text
    $('outcome').hidden = text === ''
    const again = $('again')
    again.hidden = !call || call.endReason === 'answered-elsewhere' || call.endReason === 'declined-elsewhere'
    again.textContent = call?.direction === 'incoming' ? 'Call back' : 'Call again'
    again.onclick = () => call && place(call.peer.userId, call.type)
  }

  /** @param {import('../client/types.ts').StateChange} change */
  function showConnection({ state, cause, retryInMs }) {
    const chip = $('connection')
    const words = {
      online: 'online',
      connecting: cause ? 'server not reachable, trying again…' : 'connecting…',
      reconnecting: 'reconnecting…',
      offline: 'offline',
    }
    chip.textContent = words[state]
    chip.dataset.state = state
    chip.title = cause ? `${cause.message}${retryInMs ? ` (again in ${Math.ceil(retryInMs / 1000)} s)` : ''}` : ''
    $('my-device').textContent = client.session ? `device ${client.session.slice(0, 6)}` : ''
  }

  /** @param {string} [complaint] */
  function leave(complaint) {
    tab.who = null
    const away = client.disconnect().catch(() => {})
    if (!complaint) return void away.then(() => location.reload())
    $('phone').hidden = true
    signIn(complaint).then((again) => {
      tab.who = again
      location.reload()
    })
  }
}

/** What the list of people shows of the last call. @param {import('../client/types.ts').Call} call */
function note(call) {
  const time = new Date().toTimeString().slice(0, 5)
  const missed = call.direction === 'incoming' && ['no-answer', 'cancelled'].includes(call.endReason ?? '')
  if (missed) return `missed ${time}`
  return call.direction === 'incoming' ? `↙ ${time}` : `↗ ${time}`
}

/** @param {string} id @param {boolean} on */
function press(id, on) {
  $(id).setAttribute('aria-pressed', String(on))
}

press('relay', relayOnly)
$('relay').addEventListener('click', () => {
  relayOnly = !relayOnly
  press('relay', relayOnly)
})

function showSound() {
  press('sound', sounds.on)
  $('sound')
    .querySelector('use')
    ?.setAttribute('href', iconReference(sounds.on ? 'sound' : 'sound-off'))
}
showSound()
$('sound').addEventListener('click', () => {
  sounds.on = !sounds.on
  settings.sound = sounds.on
  if (!sounds.on) sounds.stop()
  showSound()
})
