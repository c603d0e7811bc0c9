/** The softphone: signs in, joins the client with the views. `carillon` in the browser's console is the client. */

import { CallClient, TokenRefusedError } from 'carillon/client'
import { CallView } from './call-view.js'
import { $, iconReference, keepIcons, paintAvatar } from './dom.js'
import { FramesPanel } from './frames.js'
import { People } from './people.js'
import { signIn, tokenOf } from './sign-in.js'
import { Sounds } from './sounds.js'
import { remember, settings, tab } from './storage.js'
import { fault, outcome } from './words.js'

const query = new URLSearchParams(location.search)
let relayOnly = query.get('relay') === '1'

const sounds = new Sounds()
sounds.on = settings.sound
const frames = new FramesPanel()
const view = new CallView(sounds)

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
  Object.assign(globalThis, { carillon: client })

  /** @type {WeakSet<import('../client/types.ts').Call>} */
  const begun = new WeakSet()

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
    view.show(call)
    people.meet(call.peer.userId)
    people.busy = true
    call.on('state', ({ state }) => {
      // Rang while a call of our own was still being prepared: answering the one gives the other up.
      if (state === 'connecting' && before?.state !== 'ended') before?.hangUp()
      if (state === 'ended') over(call)
    })
  }

  /** @param {import('../client/types.ts').Call} call */
  function over(call) {
    people.meet(call.peer.userId, note(call))
    people.busy = client.calls.length > 0
    const [other] = client.calls
    if (!other) tell(outcome(call), call.endReason === 'hung-up' ? undefined : call)
    else if (begun.has(other)) view.show(other)
    else begin(other)
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
