/** Every sentence about a call or a fault, in one place: plain words for people. */

/** @param {number} ms */
export function duration(ms) {
  const seconds = Math.floor(ms / 1000)
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0')
  const hours = Math.floor(seconds / 3600)
  const rest = `${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  return hours ? `${hours}:${rest}` : rest
}

/** @param {import('../client/types.ts').Call} call */
export function callStatus(call) {
  const { name } = call.peer
  if (call.interrupted && call.state === 'connected') return 'Connection interrupted, reconnecting…'
  switch (call.state) {
    case 'calling':
      return call.transferredBy ? `${call.transferredBy.name} transfers you to ${name}…` : `Calling ${name}…`
    case 'ringing':
      if (call.direction === 'outgoing') return call.transferredBy ? passed(call) : ringing(call)
      return rings(call)
    case 'connecting':
      return 'Connecting…'
    case 'connected':
      return resting(call) || (call.forgotten ? 'Connected, without the server' : 'Connected')
    default:
      return outcome(call)
  }
}

/**
 * While the server cannot be reached: what still works, and what will. The media are another matter.
 * @param {import('../client/types.ts').Call} call
 */
export function reconnecting(call) {
  const so = 'Reconnecting to the server…'
  switch (call.state) {
    case 'ringing':
      return call.direction === 'incoming' ? `${so} You can answer; it counts when the connection is back.` : so
    case 'connecting':
      return call.direction === 'incoming' ? `${so} Your answer is sent as soon as it can be.` : so
    case 'connected':
      return call.interrupted ? so : `${so} You can go on talking.`
    default:
      return so
  }
}

/** @param {import('../client/types.ts').Call} call */
function passed({ peer, transferredBy }) {
  return `${transferredBy?.name} transfers you to ${peer.name}: it rings there…`
}

/** @param {import('../client/types.ts').Call} call */
function rings({ peer, type, transferredBy, room }) {
  const how = type === 'VIDEO' ? `${peer.name} calls you with video` : `${peer.name} calls you`
  if (transferredBy) return `${how}, transferred by ${transferredBy.name}`
  if (!room) return how
  const others = room.members.filter(({ me, state, userId }) => !me && state === 'joined' && userId !== peer.userId)
  if (others.length === 0) return how
  return `${peer.name} invites you to a call with ${list(others.map(({ name }) => name))}`
}

/** Why nobody is heard. @param {import('../client/types.ts').Call} call */
export function resting({ held, peer, transferring, room }) {
  if (transferring?.byMe) return `Transferring ${peer.name} to ${transferring.target}…`
  if (transferring) return `${peer.name} transfers you to ${transferring.target}…`
  if (held.byMe && held.byPeer && !room) return `On hold by you and by ${peer.name}`
  if (held.byMe) return 'On hold: nobody hears or sees you'
  if (!held.byPeer || room) return ''
  return `${peer.name} has put you on hold`
}

/** A call beside the one on the stage, in a few words. @param {import('../client/types.ts').Call} call */
export function besides(call) {
  if (call.direction === 'incoming' && call.state === 'ringing') {
    if (call.transferredBy) return `calls, transferred by ${call.transferredBy.name}`
    return call.type === 'VIDEO' ? 'calls you with video' : 'calls you'
  }
  if (call.transferring) return call.transferring.byMe ? 'is being transferred' : 'transfers you'
  if (call.held.byMe) return 'on hold'
  return call.state === 'connected' ? 'in a call with you' : 'calling…'
}

/** @param {readonly string[]} names */
export function list(names) {
  if (names.length < 2) return names.join('')
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`
}

/** Who is in a room, as its title. @param {import('../client/types.ts').Room} room */
export function roomTitle({ members }) {
  const there = members.filter(({ me, state }) => !me && state === 'joined').map(({ name }) => name)
  return there.length === 0 ? 'Only you are left' : list(there)
}

/** @param {import('../client/types.ts').RoomMember} member */
export function memberStatus({ me, state, connected, interrupted, held }) {
  if (state === 'ringing') return 'ringing…'
  if (held) return 'on hold'
  if (me) return ''
  if (interrupted) return 'reconnecting…'
  return connected ? '' : 'connecting…'
}

/**
 * What has changed in a room, for whoever does not look at it just now.
 * @param {import('../client/types.ts').RoomMember} member
 * @param {string | undefined} before
 */
export function memberNews({ name, state }, before) {
  switch (state) {
    case 'joined':
      return `${name} has joined`
    case 'left':
      return before === 'joined' ? `${name} has left` : ''
    case 'declined':
      return `${name} declined`
    case 'missed':
      return `No answer from ${name}`
    case 'busy':
      return `${name} is busy in another call`
    default:
      return ''
  }
}

/** What has become of a transfer. @param {import('../client/types.ts').TransferNews} news @param {string} peer */
export function transferNews({ state, target, byMe, reason }, peer) {
  if (state !== 'failed') return ''
  const why =
    reason === 'DECLINED' ? `${target} declined` : reason === 'BUSY' ? `${target} is busy` : `${target} did not answer`
  return byMe ? `${why}: ${peer} is with you again.` : `${why}: you are with ${peer} again.`
}

/** A call of the past. @param {import('../client/wire.ts').SeenRecord} record */
export function past({ direction, seenAs, duration: seconds, members }) {
  const lasted = duration(seconds * 1000)
  switch (seenAs) {
    case 'answered':
      return members ? `group, ${lasted}` : lasted
    case 'missed':
      return 'missed'
    case 'declined':
      return direction === 'incoming' ? 'you declined' : 'declined'
    case 'cancelled':
      return 'cancelled'
    case 'busy':
      return 'busy'
    case 'unanswered':
      return 'no answer'
  }
}

/** Today the time, before that the day. @param {string} iso */
export function when(iso) {
  const date = new Date(iso)
  const today = date.toDateString() === new Date().toDateString()
  return today
    ? date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
    : date.toLocaleDateString([], { day: 'numeric', month: 'short' })
}

/** @param {import('../client/types.ts').Call} call */
function ringing({ peer, ringingDevices: devices }) {
  if (devices === undefined) return `Ringing on ${peer.name}’s devices…`
  return devices === 1 ? `Ringing on one device of ${peer.name}…` : `Ringing on ${devices} devices of ${peer.name}…`
}

/** @param {import('../client/types.ts').Call} call */
export function outcome(call) {
  const { name } = call.peer
  const outgoing = call.direction === 'outgoing'
  switch (call.endReason) {
    case 'declined':
      return outgoing ? `${name} declined` : `You declined the call from ${name}`
    case 'busy':
      return `${name} is busy in another call`
    case 'no-answer':
      return outgoing ? `No answer from ${name}` : `Missed call from ${name}`
    case 'unreachable':
      return `${name} is not reachable now`
    case 'cancelled':
      if (outgoing && call.endedBy === 'server') return 'The server has ended the call. Please try again in a moment.'
      return outgoing ? 'Call cancelled' : `Missed call from ${name}`
    case 'answered-elsewhere':
      return 'Answered on another device'
    case 'declined-elsewhere':
      return 'Declined on another device'
    case 'hung-up': {
      const length = call.elapsed >= 1000 ? ` after ${duration(call.elapsed)}` : ''
      if (call.endedBy === 'server') return `The server has ended the call${length}`
      if (call.room && call.endedBy === 'peer') return `The call has ended${length}`
      return call.endedBy === 'me' ? `You hung up${length}` : `${name} hung up${length}`
    }
    case 'transferred':
      if (call.endedBy !== 'me') return `${name} has transferred you`
      return call.transferring ? `${name} is now with ${call.transferring.target}` : 'You have handed the call over'
    case 'lost':
      return `The connection to ${name} was lost`
    default:
      return call.error ? fault(call.error) : `The call to ${name} failed`
  }
}

/** @param {{ code: unknown, message: string }} error */
export function fault(error) {
  switch (error.code) {
    case 'offline':
    case 'connection-lost':
      return 'Not connected to the server. Please try again in a moment.'
    case 'timeout':
      return 'The server did not answer in time.'
    case 'negotiation':
      return 'No way for sound and picture was found between the two devices.'
    case 401:
      return 'The server does not accept this sign-in any more.'
    case 403:
      return 'The server does not allow that.'
    case 429:
      return `Too many requests. ${error.message}`
    case 503:
      return 'The server is restarting. Please try again in a moment.'
    case 1001:
      return 'That person is busy in another call.'
    case 1006:
      return 'You are already in a call, maybe on another device.'
    case 1007:
      return 'The program of the other side cannot do that.'
    case 1008:
      return 'That is not possible just now.'
    case 1009:
      // The server knows how many
      return `${error.message[0]?.toUpperCase()}${error.message.slice(1)}.`
    default:
      return error.message
  }
}

/**
 * Why one is not heard or seen.
 * @param {{ code: unknown, message: string }} error
 * @param {import('../client/types.ts').Call} call
 */
export function problem(error, call) {
  const voiceOnly = call.type === 'AUDIO' || call.localVideo
  const missing = call.hasMicrophone ? 'camera' : voiceOnly ? 'microphone' : 'camera and microphone'
  const so = call.hasMicrophone
    ? `${call.peer.name} hears you, but does not see you.`
    : `You hear ${call.peer.name}, but are not heard.`
  switch (error.code) {
    case 'media-refused':
      return `The browser may not use the ${missing}. Allow it beside the address. ${so}`
    case 'media-missing':
      return globalThis.isSecureContext
        ? `No ${missing} found. ${so}`
        : `Browsers give camera and microphone only to pages over https. ${so}`
    case 'media-in-use':
      return `Another program uses the ${missing}. ${so}`
    default:
      return call.forgotten ? forgotten(call) : fault(error)
  }
}

/** @param {import('../client/types.ts').Call} call */
function forgotten({ peer }) {
  return `The server has restarted. You and ${peer.name} can go on talking; to change something, hang up and call again.`
}
