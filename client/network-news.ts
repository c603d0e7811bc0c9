/** When a browser knows more of its network than a socket does: another network, none, one again, or a page that woke up. */

interface Source {
  addEventListener?(kind: string, listener: () => void): void
}

/** Told for as long as the page lives; never, where there is no page. */
export function onNetworkNews(listener: () => void): void {
  if (!('window' in globalThis)) return
  const { navigator, document } = globalThis
  const page: Source = globalThis
  // Not in every browser (W3C Network Information API): a telephone that goes from Wi-Fi to mobile says so
  const connection = (navigator as { connection?: Source }).connection
  for (const kind of ['online', 'offline', 'pageshow']) page.addEventListener?.(kind, listener)
  connection?.addEventListener?.('change', listener)
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') listener()
  })
}
