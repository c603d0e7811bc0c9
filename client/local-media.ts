/**
 * Our own camera and microphone during one call, however many others see and hear them. Knows no connections: those who
 * send a picture are told when it comes and goes.
 */

import { CallError } from './errors.ts'
import { type GetUserMedia, mediaError, openMedia } from './media.ts'

export interface LocalMediaOptions {
  readonly getUserMedia: GetUserMedia | undefined
  readonly video: MediaTrackConstraints | true
  readonly audio: MediaTrackConstraints | true
  /** The camera is opened from the beginning. */
  readonly withVideo: boolean
  readonly muted: boolean
  changed(): void
  problem(error: CallError): void
}

/** Who sends our picture. */
export interface PictureTaker {
  /** Nothing: there is none any more. */
  picture(track: MediaStreamTrack | undefined): Promise<void>
}

export class LocalMedia {
  readonly #options: LocalMediaOptions
  readonly #takers = new Set<PictureTaker>()
  /** Fulfilled when the person has decided about camera and microphone, whatever the decision. */
  readonly ready: Promise<void>
  #decided = false
  #stream: MediaStream | undefined
  #wantsVideo: boolean
  #wantsMute: boolean
  #closed = false

  /** Asks for camera and microphone at once. */
  constructor(options: LocalMediaOptions) {
    this.#options = options
    this.#wantsVideo = options.withVideo
    this.#wantsMute = options.muted
    this.ready = this.#open()
  }

  get decided(): boolean {
    return this.#decided
  }

  get stream(): MediaStream | undefined {
    return this.#stream
  }

  get hasMicrophone(): boolean {
    return this.#audioTracks.length > 0
  }

  get muted(): boolean {
    return this.#audioTracks.length > 0 && this.#audioTracks.every((track) => !track.enabled)
  }

  get video(): boolean {
    return (this.#stream?.getVideoTracks() ?? []).some((track) => track.readyState === 'live')
  }

  /** The track of this kind that is to be sent now. */
  track(kind: string): MediaStreamTrack | undefined {
    return this.#stream?.getTracks().find((track) => track.kind === kind && track.readyState === 'live')
  }

  join(taker: PictureTaker): void {
    this.#takers.add(taker)
  }

  leave(taker: PictureTaker): void {
    this.#takers.delete(taker)
  }

  mute(on: boolean): void {
    this.#wantsMute = on
    for (const track of this.#audioTracks) track.enabled = !on
    this.#options.changed()
  }

  /** On: fails with `media-…`. Off: lets go of it. */
  async camera(on: boolean): Promise<void> {
    this.#wantsVideo = on
    if (on === this.video) return
    if (on) await this.#cameraOn()
    else await this.#cameraOff()
    this.#options.changed()
  }

  close(): void {
    this.#closed = true
    for (const track of this.#stream?.getTracks() ?? []) track.stop()
  }

  get #audioTracks(): MediaStreamTrack[] {
    return this.#stream?.getAudioTracks() ?? []
  }

  async #open(): Promise<void> {
    const { getUserMedia, audio, video } = this.#options
    const opened = await openMedia(getUserMedia, { audio, video: this.#wantsVideo && video })
    this.#decided = true
    if (this.#closed) {
      for (const track of opened.stream?.getTracks() ?? []) track.stop()
      return
    }
    this.#stream = opened.stream
    if (this.#wantsMute) for (const track of this.#audioTracks) track.enabled = false
    if (opened.problem) this.#options.problem(opened.problem)
    this.#options.changed()
  }

  async #cameraOn(): Promise<void> {
    const { getUserMedia, video } = this.#options
    if (!getUserMedia) throw new CallError('media-missing', 'camera and microphone need a page over https')
    const stream = await getUserMedia({ video }).catch((error: unknown) => {
      throw mediaError(error)
    })
    const [track] = stream.getVideoTracks()
    if (!track) throw new CallError('media-missing', 'the camera gave no picture')
    if (this.#closed || !this.#wantsVideo) return track.stop()
    this.#stream ??= new MediaStream()
    this.#stream.addTrack(track)
    await this.#tell(track)
  }

  async #cameraOff(): Promise<void> {
    for (const track of this.#stream?.getVideoTracks() ?? []) {
      track.stop()
      this.#stream?.removeTrack(track)
    }
    await this.#tell(undefined)
  }

  async #tell(track: MediaStreamTrack | undefined): Promise<void> {
    await Promise.all([...this.#takers].map((taker) => taker.picture(track)))
  }
}
