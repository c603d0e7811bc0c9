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
      return `Calling ${name}…`
    case 'ringing':
      if (call.direction === 'outgoing') return ringing(call)
      return call.type === 'VIDEO' ? `${name} calls you with video` : `${name} calls you`
    case 'connecting':
      return 'Connecting…'
    case 'connected':
      return call.forgotten ? 'Connected, without the server' : 'Connected'
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
      return call.endedBy === 'me' ? `You hung up${length}` : `${name} hung up${length}`
    }
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
    case 1006:
      return 'You are already in a call, maybe on another device.'
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
