/**
 * Bells, made of sine waves: no files. A carillon's bell has its partials at hum, prime, minor third, fifth and octave.
 */

const PARTIALS = [
  [0.5, 0.35, 2.6],
  [1, 0.6, 1.9],
  [1.2, 0.4, 1.4],
  [1.5, 0.2, 1],
  [2, 0.35, 0.8],
  [3, 0.12, 0.4],
]
/** Four quarters, as clocks strike them. */
const MELODY = [659.3, 523.3, 587.3, 392]
const STRIKE_S = 0.42
const MELODY_EVERY_MS = 3600
const RINGBACK_EVERY_MS = 4000
const HOLD_MELODY = [392, 493.9, 587.3, 783.9, 587.3, 493.9]
const HOLD_STRIKE_S = 0.9
const HOLD_EVERY_MS = 7200

export class Sounds {
  /** @type {AudioContext | undefined} */
  #context
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #timer
  /** @type {GainNode | undefined} */
  #bus

  on = true

  /** Browsers play nothing before the person has touched the page: call this in every click that comes first. */
  unlock() {
    this.#context ??= 'AudioContext' in globalThis ? new AudioContext() : undefined
    if (this.#context?.state === 'suspended') this.#context.resume().catch(() => {})
  }

  /** Somebody calls us. */
  ring() {
    this.#repeat(MELODY_EVERY_MS, (context, bus) => {
      MELODY.forEach((frequency, at) => {
        strike(context, bus, frequency, context.currentTime + 0.05 + at * STRIKE_S)
      })
    })
    // A page that nobody has touched since it was loaded may not, and the browser calls the attempt an error
    if (navigator.userActivation?.hasBeenActive !== false) navigator.vibrate?.([250, 150, 250])
  }

  /** It rings on the other side. */
  ringback() {
    this.#repeat(RINGBACK_EVERY_MS, (context, bus) => {
      strike(context, bus, 392, context.currentTime + 0.05, 0.25)
      strike(context, bus, 523.3, context.currentTime + 0.45, 0.2)
    })
  }

  /** One is on hold: a few soft notes, so that nobody takes the silence for the end. */
  hold() {
    this.#repeat(HOLD_EVERY_MS, (context, bus) => {
      HOLD_MELODY.forEach((frequency, at) => {
        strike(context, bus, frequency, context.currentTime + 0.05 + at * HOLD_STRIKE_S, 0.12)
      })
    })
  }

  /** Somebody else calls, into a call: once, and softly. */
  knock() {
    const context = this.#context
    if (!this.on || context?.state !== 'running') return
    const bus = context.createGain()
    bus.gain.value = 0.5
    bus.connect(context.destination)
    strike(context, bus, 587.3, context.currentTime + 0.05, 0.15)
    strike(context, bus, 783.9, context.currentTime + 0.3, 0.15)
    setTimeout(() => bus.disconnect(), 3500)
  }

  stop() {
    clearInterval(this.#timer)
    this.#timer = undefined
    const bus = this.#bus
    this.#bus = undefined
    if (!bus || !this.#context) return
    bus.gain.setTargetAtTime(0, this.#context.currentTime, 0.04)
    setTimeout(() => bus.disconnect(), 300)
  }

  /** @param {number} every @param {(context: AudioContext, bus: GainNode) => void} play */
  #repeat(every, play) {
    this.stop()
    if (!this.on) return
    this.unlock()
    const context = this.#context
    if (!context) return
    const bus = context.createGain()
    bus.gain.value = 0.5
    bus.connect(context.destination)
    this.#bus = bus
    play(context, bus)
    this.#timer = setInterval(() => play(context, bus), every)
  }
}

/** @param {AudioContext} context @param {GainNode} bus @param {number} frequency @param {number} at @param {number} [loud] */
function strike(context, bus, frequency, at, loud = 0.5) {
  for (const [ratio, gain, decay] of PARTIALS) {
    const oscillator = context.createOscillator()
    const envelope = context.createGain()
    oscillator.frequency.value = frequency * ratio
    envelope.gain.setValueAtTime(0, at)
    envelope.gain.linearRampToValueAtTime(gain * loud * 0.5, at + 0.008)
    envelope.gain.exponentialRampToValueAtTime(0.0001, at + decay)
    oscillator.connect(envelope).connect(bus)
    oscillator.start(at)
    oscillator.stop(at + decay + 0.05)
  }
}
