/** What a typed client tells, waited for. */

import type { Call, CallClient, IncomingCall, StateChange } from '../../client/index.ts'

/** The first event that is wanted. */
export const once = <T>(listen: (tell: (event: T) => void) => () => void, wanted: (event: T) => boolean = () => true) =>
  new Promise<T>((found) => {
    const off = listen((event) => {
      if (!wanted(event)) return
      off()
      found(event)
    })
  })

export const rings = (client: CallClient) => once<IncomingCall>((tell) => client.on('incoming', tell))

export const reaches = (client: CallClient, wanted: StateChange['state']) =>
  once<StateChange>(
    (tell) => client.on('state', tell),
    ({ state }) => state === wanted,
  )

export async function becomes(call: Call, wanted: Call['state']): Promise<void> {
  if (call.state !== wanted)
    await once<{ state: string }>(
      (tell) => call.on('state', tell),
      ({ state }) => state === wanted,
    )
}
