/** One turn of the event loop: every promise that can be fulfilled without input from outside is, by then. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
