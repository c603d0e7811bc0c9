/** What each process of several gets of the settings of all. */

import { type RelaySettings, relayOptions } from './options.ts'

/**
 * Each has ports of its own to listen on (the next ones; 0 stays 0), its part of the relayed ports, and its part of the
 * allocations. All else is the same for all. Throws a RangeError when the settings make no sense, or not for so many.
 */
export function shares(settings: RelaySettings, workers: number): readonly RelaySettings[] {
  if (workers === 1) return [settings]
  const { port, tls, minPort, maxPort, allocations } = relayOptions(settings)
  const width = Math.floor((maxPort - minPort + 1) / workers)
  if (!(width >= 1)) throw new RangeError('relay: workers must be a number from 1 to that of the relayed ports')
  return Array.from({ length: workers }, (_, each) => {
    const first = minPort + each * width
    return {
      ...settings,
      port: port === 0 ? 0 : port + each,
      ...(tls && { tls: { ...tls, port: tls.port === 0 ? 0 : tls.port + each } }),
      minPort: first,
      sharedPorts: { min: minPort, max: maxPort },
      maxPort: each === workers - 1 ? maxPort : first + width - 1,
      allocations: Math.ceil(allocations / workers),
    }
  })
}
