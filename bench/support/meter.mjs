/**
 * Loaded into a measured process before its own code (`node --import`): answers questions about its costs over the IPC
 * channel. JavaScript, because nothing may stand between Node and what is measured. Asks the operating system
 * (getrusage, resident set), so all threads count, the garbage collector's too.
 */

process.on('message', ({ id, collect }) => {
  // Twice: what finalizers let go of is collected by the second
  if (collect) for (let i = 0; i < 2; i++) globalThis.gc?.()
  const { user, system } = process.cpuUsage()
  const { rss, heapUsed } = process.memoryUsage()
  process.send?.({ id, cpuMicros: user + system, rss, heapUsed })
})

// Nobody is left to measure for
process.on('disconnect', () => process.exit())

process.channel?.unref()
