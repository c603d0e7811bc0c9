/** Camera and microphone: as much of what is wished as there is. A call without either is still a call. */

import { asCallError, CallError, type LocalCode } from './errors.ts'

export type GetUserMedia = (constraints: MediaStreamConstraints) => Promise<MediaStream>

export interface MediaWish {
  readonly audio: MediaTrackConstraints | boolean
  readonly video: MediaTrackConstraints | boolean
}

export interface OpenedMedia {
  /** Nothing when there is neither microphone nor camera, or the person lets us use neither. */
  readonly stream: MediaStream | undefined
  /** Why it is less than what was wished. */
  readonly problem: CallError | undefined
}

/** Never fails: what could not be had is told by `problem`. */
export async function openMedia(getUserMedia: GetUserMedia | undefined, wish: MediaWish): Promise<OpenedMedia> {
  if (!getUserMedia) {
    return {
      stream: undefined,
      problem: new CallError('media-missing', 'camera and microphone need a page over https'),
    }
  }
  const lesser: MediaWish[] = [wish]
  if (wish.audio && wish.video) lesser.push({ ...wish, video: false }, { ...wish, audio: false })
  let problem: CallError | undefined
  for (const constraints of lesser) {
    try {
      return { stream: await getUserMedia(constraints), problem }
    } catch (error) {
      problem ??= mediaError(error)
    }
  }
  return { stream: undefined, problem }
}

const CODES: Readonly<Record<string, LocalCode>> = {
  NotAllowedError: 'media-refused',
  SecurityError: 'media-refused',
  NotFoundError: 'media-missing',
  OverconstrainedError: 'media-missing',
  NotReadableError: 'media-in-use',
  AbortError: 'media-in-use',
}

/** The names are those of W3C Media Capture and Streams, getUserMedia. */
export function mediaError(error: unknown): CallError {
  const name = error instanceof Error || error instanceof DOMException ? error.name : ''
  return asCallError(error, CODES[name] ?? 'media-in-use')
}
