/**
 * Work that waits only where it must. It is written as a generator and asks with {@link wait}; what answers at once is
 * used at once, so that a store in memory costs no promise and no turn of the event loop, and the same rules run on a
 * store across the network.
 */

export type Awaitable<T> = T | Promise<T>

/** Work in steps; it pauses only at promises. */
export type Steps<T> = Generator<Promise<unknown>, T, unknown>

/** `const value = yield* wait(answer)`: the answer itself, or what its promise is fulfilled with. Throws what it is rejected with. */
export function* wait<T>(answer: Awaitable<T>): Generator<Promise<unknown>, T, unknown> {
  return answer instanceof Promise ? ((yield answer) as T) : answer
}

/** All of the answers; what has to be waited for is waited for together. */
export function* waitForAll<T extends readonly unknown[]>(
  answers: readonly [...{ [K in keyof T]: Awaitable<T[K]> }],
): Steps<T> {
  if (answers.some((answer) => answer instanceof Promise)) return (yield Promise.all(answers)) as T
  return answers as unknown as T
}

/** Does the work; the result is there at once when nothing had to be waited for. Throws, or is rejected, as the work throws. */
export function perform<T>(work: Steps<T>): Awaitable<T> {
  const step = work.next()
  return step.done ? step.value : goOn(work, step.value)
}

async function goOn<T>(work: Steps<T>, awaited: Promise<unknown>): Promise<T> {
  for (let promise = awaited; ; ) {
    const answer = await promise.then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    )
    const step = 'error' in answer ? work.throw(answer.error) : work.next(answer.value)
    if (step.done) return step.value
    promise = step.value
  }
}
