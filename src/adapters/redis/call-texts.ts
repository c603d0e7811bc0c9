/**
 * Calls, and what is done about them, as JSON. Octets (signalling that is kept or passed on) survive as base64. Knows
 * nothing of where the texts are kept.
 */

import { changed } from '../../calls/changed.ts'
import type { Call, Effect, KeptSignal, SignalFrame } from '../../calls/types.ts'

type Text<S extends SignalFrame> = Omit<S, 'body'> & { readonly body: string }

const withText = <S extends SignalFrame>(signal: S): Text<S> => ({
  ...signal,
  body: Buffer.from(signal.body.buffer, signal.body.byteOffset, signal.body.byteLength).toString('base64'),
})

const withOctets = <S extends SignalFrame>(text: Text<S>) =>
  ({ ...text, body: Buffer.from(text.body, 'base64') }) as unknown as S

/** The call with this version. */
export function writeCall(call: Call, version: number): string {
  const kept = call.kept.length === 0 ? call.kept : call.kept.map(withText)
  return JSON.stringify({ ...call, kept, version })
}

export function readCall(text: string): Call {
  return callOf(JSON.parse(text) as Call)
}

function callOf(read: Call): Call {
  const { kept } = read
  if (kept.length === 0) return changed(read, {})
  return changed(read, { kept: (kept as unknown as Text<KeptSignal>[]).map(withOctets) })
}

/** An effect names a call that is written with it by its place among the writes: it need not be written twice. */
type CallText = number | string

type EffectText =
  | Extract<Effect, { kind: 'tell' }>
  | (Omit<Extract<Effect, { kind: 'ring' }>, 'call'> & { readonly call: CallText })
  | (Omit<Extract<Effect, { kind: 'member' }>, 'call'> & { readonly call: CallText })
  | (Omit<Extract<Effect, { kind: 'relay' }>, 'signal'> & { readonly signal: Text<SignalFrame> })
  | (Omit<Extract<Effect, { kind: 'news' }>, 'call'> & { readonly call: CallText })

export function writeEffects(effects: readonly Effect[], written: readonly Call[]): string {
  return JSON.stringify(effects.map((effect) => textOf(effect, written)))
}

function textOf(effect: Effect, written: readonly Call[]): EffectText {
  switch (effect.kind) {
    case 'tell':
      return effect
    case 'relay':
      return { ...effect, signal: withText(effect.signal) }
    case 'ring':
    case 'member':
    case 'news': {
      const place = written.findIndex(({ callId }) => callId === effect.call.callId)
      return { ...effect, call: place < 0 ? writeCall(effect.call, effect.call.version) : place }
    }
  }
}

/**
 * What {@link writeEffects} has written, the calls that were written with it, and when: `[[call, …], effects, seconds]`.
 * Of several calls the last one is what the commit was about. Undefined: nothing that this version would have written.
 */
export function readUntold(text: string): { call: Call; effects: readonly Effect[]; at: number } | undefined {
  try {
    return untoldOf(JSON.parse(text) as [Call[], EffectText[], number])
  } catch {
    return undefined
  }
}

function untoldOf([texts, effects, at]: [Call[], EffectText[], number]): ReturnType<typeof readUntold> {
  const calls = texts.map(callOf)
  const call = calls.at(-1)
  if (call === undefined) return undefined
  const callNamed = (name: CallText): Call => (typeof name === 'string' ? readCall(name) : (calls[name] ?? call))
  return { call, effects: effects.map((effect) => effectOf(effect, callNamed)), at }
}

function effectOf(effect: EffectText, callNamed: (name: CallText) => Call): Effect {
  switch (effect.kind) {
    case 'tell':
      return effect
    case 'relay':
      return { ...effect, signal: withOctets(effect.signal) }
    case 'ring':
    case 'member':
    case 'news':
      return { ...effect, call: callNamed(effect.call) }
  }
}
