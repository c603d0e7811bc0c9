/**
 * Perfect negotiation (W3C WebRTC 1.0, section 10.7) over any signalling: either side may offer at any time; when two
 * offers meet, the polite side takes its own back. Knows descriptions and candidates, not calls.
 */

import type { CandidatePayload } from './wire.ts'

export type Description = { readonly type: 'OFFER' | 'ANSWER'; readonly payload: string }
export type Candidate = { readonly type: 'ICE_CANDIDATE'; readonly payload: CandidatePayload }

export interface NegotiationOptions {
  readonly connection: RTCPeerConnection
  /** The callee is polite, the caller is not. */
  readonly polite: boolean
  send(signal: Description | Candidate): void
  /** Between the other side's offer and our answer: the moment to add tracks, so that the answer has them. */
  beforeAnswer(): Promise<void>
  /** What the other side sent made no sense to the browser. */
  failed(error: unknown): void
}

/** Candidates of a side that never describes itself. */
const MOST_CANDIDATES = 256

/**
 * Which RTCPeerConnection a description is of: the session of its `o=` line is the same for as long as that lives (RFC 8829
 * section 5.2.2). Nothing: it does not say.
 */
export function sessionOf({ payload }: Description): string | undefined {
  return /^o=\S+ (\S+) /m.exec(payload)?.[1]
}

export class Negotiation {
  readonly #options: NegotiationOptions
  readonly #connection: RTCPeerConnection
  /** Candidates that came before the description they belong to. */
  readonly #early: CandidatePayload[] = []
  #offering = false
  #ignoring = false
  #settingAnswer = false
  #inOrder: Promise<void> = Promise.resolve()

  constructor(options: NegotiationOptions) {
    this.#options = options
    this.#connection = options.connection
    this.#connection.onnegotiationneeded = () => void this.#offer()
    this.#connection.onicecandidate = ({ candidate }) => {
      if (candidate) options.send({ type: 'ICE_CANDIDATE', payload: payloadOf(candidate) })
    }
  }

  /** Signals of the other side are worked on one after the other; never fails. */
  receive(signal: Description | Candidate): Promise<void> {
    this.#inOrder = this.#inOrder.then(async () => {
      if (this.#connection.signalingState === 'closed') return
      try {
        if (signal.type === 'ICE_CANDIDATE') await this.#candidate(signal.payload)
        else await this.#description(signal)
      } catch (error) {
        if (!this.#closed) this.#options.failed(error)
      }
    })
    return this.#inOrder
  }

  /** Says again what we have said last, to somebody who may have missed it: only an offer that waits for its answer. */
  repeatOffer(): void {
    if (this.#connection.signalingState === 'have-local-offer') this.#describe()
  }

  get #closed(): boolean {
    return this.#connection.signalingState === 'closed'
  }

  async #offer(): Promise<void> {
    this.#offering = true
    try {
      await this.#connection.setLocalDescription()
      this.#describe()
    } catch (error) {
      if (!this.#closed) this.#options.failed(error)
    } finally {
      this.#offering = false
    }
  }

  async #description(description: Description): Promise<void> {
    const type = description.type === 'OFFER' ? 'offer' : 'answer'
    const ready = !this.#offering && (this.#connection.signalingState === 'stable' || this.#settingAnswer)
    const collision = type === 'offer' && !ready
    this.#ignoring = collision && !this.#options.polite
    if (this.#ignoring) return
    // An answer to an offer that was taken back or already answered: late, and no longer of interest.
    if (type === 'answer' && this.#connection.signalingState !== 'have-local-offer') return

    this.#settingAnswer = type === 'answer'
    try {
      await this.#connection.setRemoteDescription({ type, sdp: description.payload })
    } finally {
      this.#settingAnswer = false
    }
    for (const candidate of this.#early.splice(0)) await this.#add(candidate)
    if (type === 'answer') return
    await this.#options.beforeAnswer()
    if (this.#connection.signalingState !== 'have-remote-offer') return
    await this.#connection.setLocalDescription()
    this.#describe()
  }

  async #candidate(candidate: CandidatePayload): Promise<void> {
    if (this.#connection.remoteDescription) return this.#add(candidate)
    if (this.#early.length < MOST_CANDIDATES) this.#early.push(candidate)
  }

  /** One bad candidate spoils nothing: others may lead to the goal. */
  async #add(candidate: CandidatePayload): Promise<void> {
    try {
      await this.#connection.addIceCandidate(candidate)
    } catch (error) {
      if (!this.#ignoring && !this.#closed && !this.#isLate(candidate)) this.#options.failed(error)
    }
  }

  /** Of a description that another has taken the place of. */
  #isLate({ usernameFragment }: CandidatePayload): boolean {
    const { sdp = '' } = this.#connection.remoteDescription ?? {}
    return typeof usernameFragment === 'string' && !sdp.includes(`a=ice-ufrag:${usernameFragment}`)
  }

  #describe(): void {
    const description = this.#connection.localDescription
    if (description?.type === 'offer') this.#options.send({ type: 'OFFER', payload: description.sdp })
    if (description?.type === 'answer') this.#options.send({ type: 'ANSWER', payload: description.sdp })
  }
}

function payloadOf(candidate: RTCIceCandidate): CandidatePayload {
  const { candidate: line, sdpMid, sdpMLineIndex, usernameFragment } = candidate
  return { candidate: line, sdpMid, sdpMLineIndex, ...(usernameFragment === null ? {} : { usernameFragment }) }
}
