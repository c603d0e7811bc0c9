/** The softphone in a real Chromium with a made-up camera and microphone, in the hands of a test. */

import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import type { CallClient } from '../../client/index.ts'
import type { CutProxy } from '../support/cut-proxy.ts'

const SCREENSHOTS = fileURLToPath(new URL('./screenshots/', import.meta.url))
const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
/** Of several such flags Chromium takes the last one, so that what Playwright leaves out is left out here again. */
const WITHOUT = [
  // The windows of this Chromium each load pages for suggestions below the address bar: as much work as our own page
  'WebUIOmniboxPopup',
  'WebUIOmniboxAimPopup',
  // A process kept ready for each window that is opened, where each has one page in all its life
  'SpareRendererForSitePerProcess',
  'AimEnabled',
  'AvoidUnnecessaryBeforeUnloadCheckSync',
  'DestroyProfileOnBrowserClose',
  'HttpsUpgrades',
  'HttpsFirstBalancedModeAutoEnable',
  'LensOverlay',
  'MediaRouter',
  'NetworkTimeServiceQuerying',
  'OptimizationHints',
  'PaintHolding',
  'PreconnectToSearch',
  'ThirdPartyStoragePartitioning',
]
const FLAGS = [
  '--no-sandbox',
  '--use-fake-device-for-media-stream',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--allow-loopback-in-peer-connection',
  '--autoplay-policy=user-gesture-required',
  `--disable-features=${WITHOUT.join()}`,
]

/**
 * One browser process. `asks`: it asks the person for camera and microphone, and nobody answers yes. `trusts`: the
 * public key of a certificate that it takes whoever has signed it (base64 of the SHA-256 of its SPKI).
 */
export function launch({ asks = false, trusts }: { asks?: boolean; trusts?: string } = {}): Promise<Browser> {
  const executablePath = process.env.CHROMIUM_PATH ?? PLACES.find((path) => existsSync(path))
  if (!executablePath) throw new Error('no Chromium: apt-get install chromium, or set CHROMIUM_PATH')
  const args = asks ? [...FLAGS] : [...FLAGS, '--use-fake-ui-for-media-stream']
  if (trusts !== undefined) args.push(`--ignore-certificate-errors-spki-list=${trusts}`)
  return chromium.launch({ executablePath, args, headless: true })
}

/** The columns of the page still stand side by side. A processor paints each of its points for each picture that comes. */
const SMALL_WINDOW = { width: 840, height: 560 }

export interface PhoneOptions extends BrowserContextOptions {
  /** Of the servers that it is told, it uses those whose URL is like this, as if nothing else could be reached. */
  readonly servers?: RegExp
  /** All its media go over the server's relay, which it reaches by TCP at this port of this machine and by nothing else. */
  readonly relayPort?: number
  /** Its camera gives small pictures, and few: for many of them on one machine. */
  readonly small?: boolean
  /** All that is between it and the server: what the test cuts off is nothing to complain of. */
  readonly network?: CutProxy
}

export type StageState = 'idle' | 'incoming' | 'calling' | 'ringing' | 'connecting' | 'connected'

declare global {
  /** Set by the page for whoever opens the browser's console. */
  var carillon: CallClient
  /** Kept in the page by {@link Phone.comesBack}. */
  var back: Promise<boolean | undefined>
  /** Kept in the page by {@link Phone.willSay}. */
  var said: Promise<void>
  /** How many pictures of whom were decoded. */
  var pictures: () => Promise<Record<string, number>>
}

export type Control =
  | 'accept'
  | 'accept-voice'
  | 'decline'
  | 'hang-up'
  | 'mute'
  | 'camera'
  | 'hold'
  | 'transfer'
  | 'complete'
  | 'add'

/** What is to be expected of every page: kept while tests run, looked at by {@link Phone.complaints}. */
export class Phone {
  readonly page: Page
  readonly #complaints: string[] = []
  readonly #network: CutProxy | undefined
  /** Cuts of the network that were over when complaints were asked for last. */
  #cuts = 0

  private constructor(page: Page, network?: CutProxy) {
    this.page = page
    this.#network = network
    page.on('pageerror', (error) => this.#complaints.push(`uncaught: ${error.message}`))
    page.on('console', (message) => {
      const text = `${message.text()} ${message.location().url}`
      // A server that is away, or goes, is told by Chromium on its own account, and it asks for the favicon when it likes.
      const ofChromium = /WebSocket (connection|is already)|404 \(Not Found\)|503 \(Service|favicon/
      // The second: the reset has come before Chromium has looked at what it has just connected
      const reset = /net::ERR_(CONNECTION_RESET|SOCKET_NOT_CONNECTED)/
      const ofTheCut = (network?.cuts ?? 0) > this.#cuts && reset.test(text)
      if (message.type() === 'error' && !ofChromium.test(text) && !ofTheCut) {
        this.#complaints.push(text)
      }
    })
    page.on('request', (request) => {
      const { hostname, protocol } = new URL(request.url())
      if (/^(http|ws)/.test(protocol) && hostname !== '127.0.0.1') this.#complaints.push(`asks ${request.url()}`)
    })
  }

  /** A device of its own: nothing is shared with other phones of the same browser. */
  static async open(
    browser: Browser,
    url: string,
    { servers, relayPort, small, network, ...options }: PhoneOptions = {},
  ): Promise<Phone> {
    const context = await browser.newContext({ viewport: SMALL_WINDOW, ...options })
    context.setDefaultTimeout(20_000)
    await context.addInitScript(filmsSmall)
    await context.addInitScript(`globalThis.pictures = ${countPictures}`)
    if (servers !== undefined) await context.addInitScript(knowsOnly, servers.source)
    if (relayPort !== undefined) await context.addInitScript(goesOver, relayPort)
    if (small) await context.addInitScript(givesSmallPictures)
    const phone = new Phone(await context.newPage(), network)
    await phone.page.goto(url)
    return phone
  }

  /** Signed in under the name, and online. */
  static async of(browser: Browser, url: string, name: string, options: PhoneOptions = {}): Promise<Phone> {
    const phone = await Phone.open(browser, url, options)
    await phone.signIn(name)
    return phone
  }

  /** Errors of the page, and requests that left the server it came from. */
  get complaints(): readonly string[] {
    return this.#complaints
  }

  /** Those that have come since this was asked last. */
  newComplaints(): readonly string[] {
    const { cuts = 0, state } = this.#network ?? {}
    this.#cuts = state === 'cut' ? cuts - 1 : cuts
    return this.#complaints.splice(0)
  }

  async signIn(name: string): Promise<void> {
    await this.page.fill('#name', name)
    await this.page.click('#sign-in-form button[type=submit]')
    await this.connection('online')
  }

  /** With a token of the operator's own issuer, at a server that gives none. */
  async signInWith(name: string, token: string): Promise<void> {
    await this.page.fill('#name', name)
    await this.page.click('#sign-in-form button[type=submit]')
    await this.page.fill('#token', token)
    await this.page.click('#sign-in-form button[type=submit]')
    await this.connection('online')
  }

  async connection(state: string): Promise<void> {
    await this.page.waitForSelector(`#connection[data-state=${state}]`)
  }

  async calls(name: string, type: 'Video' | 'Voice' = 'Video'): Promise<void> {
    await this.page.fill('#callee', name)
    await this.page.click(`#dial button:has-text("${type} call")`)
  }

  async stage(state: StageState): Promise<void> {
    await this.page.waitForSelector(`#stage[data-state=${state}]`, { state: 'attached' })
  }

  async press(control: Control): Promise<void> {
    await this.page.click(`#${control}`)
  }

  /** Whatever rings, is called or talked in here. */
  async hangsUpAll(): Promise<void> {
    await this.page.evaluate(() => {
      for (const call of carillon.calls) call.hangUp()
    })
  }

  /** Nobody is typing here any more, and nothing that was typed is left. */
  async leavesTheKeys(): Promise<void> {
    await this.page.fill('#callee', '')
    await this.page.evaluate(() => document.activeElement instanceof HTMLElement && document.activeElement.blur())
  }

  /** In the dialog that asks for people. */
  async chooses(names: readonly string[], action: 'now' | 'ask' | 'add'): Promise<void> {
    await this.page.waitForSelector('#chooser[open]')
    for (const name of names) {
      // Who was online before this page came is not known to it
      const choice = this.page.locator(`#chooser .choice[data-user="${name}"]`)
      if (await choice.isVisible()) await choice.click()
      else await this.page.fill('#chooser-name', name)
    }
    await this.page.click(`#chooser-buttons button[value=${action}]`)
  }

  /** Waits until a call with this user stands beside the one on the stage. */
  async hasLine(name: string, kind: 'waiting' | 'held'): Promise<void> {
    await this.page.waitForSelector(`#lines .line[data-user="${name}"][data-line=${kind}]`)
  }

  async pressLine(name: string, act: 'answer' | 'decline' | 'switch'): Promise<void> {
    await this.page.click(`#lines .line[data-user="${name}"] [data-act=${act}]`)
  }

  /** Waits until a picture of this member of the room is shown. */
  async showsMember(name: string): Promise<void> {
    await this.page.waitForSelector(`#grid .tile[data-user="${name}"][data-video=true]`)
  }

  async showsNoMember(name: string): Promise<void> {
    await this.page.waitForSelector(`#grid .tile[data-user="${name}"]`, { state: 'detached' })
  }

  /** Waits until the stage shows who keeps the call on hold. */
  async isHeld(by: 'me' | 'peer' | 'none'): Promise<void> {
    await this.page.waitForSelector(`#stage[data-held=${by}]`, { state: 'attached' })
  }

  /** Waits until so many more pictures of each of these users were decoded, in whatever call. */
  async sees(users: string | readonly string[], more: number): Promise<void> {
    const seen = await this.page.evaluate(() => pictures())
    const least = Object.fromEntries([users].flat().map((user) => [user, (seen[user] ?? 0) + more]))
    await this.until(hasPictures, least)
  }

  /** Waits until the page shows that this member of the room has put it on hold. */
  async showsHolding(name: string): Promise<void> {
    await this.page.locator(`#grid .tile[data-user="${name}"] .tile-status`).filter({ hasText: 'on hold' }).waitFor()
  }

  /** Waits until the browser has forgotten that the person has touched the page. */
  async isLeftAlone(): Promise<void> {
    await this.page.waitForFunction(() => !navigator.userActivation.isActive)
  }

  /** Waits until all that is shown is a picture, and none is black. */
  async paints(): Promise<void> {
    try {
      await this.until(isPainted, undefined)
    } catch (error) {
      throw new Error(`not painted: ${JSON.stringify(await this.page.evaluate(painted))}`, { cause: error })
    }
  }

  /** Waits until nothing goes either way between this page and that user. */
  async isSilent(user: string): Promise<void> {
    await this.until(silentWith, user)
  }

  /** Waits until the line of status reads so. */
  async says(text: string | RegExp): Promise<void> {
    await this.page.locator('#call-status').filter({ hasText: text }).waitFor()
  }

  /** From now on: what is returned is fulfilled when the line of status has read so, however shortly. */
  async willSay(text: string): Promise<() => Promise<void>> {
    await this.page.evaluate((wanted) => {
      const line = document.querySelector('#call-status')
      globalThis.said = new Promise((tell) => {
        const look = () => {
          if (line?.textContent?.includes(wanted)) tell()
        }
        new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true })
        look()
      })
    }, text)
    return () => this.page.evaluate(() => globalThis.said)
  }

  /** Waits until the page says that something is wrong with the call. */
  async complains(text: string | RegExp): Promise<void> {
    await this.page.locator('#problem').filter({ hasText: text }).waitFor()
  }

  /** Waits until the outcome of a call reads so. */
  async tells(text: string | RegExp): Promise<void> {
    await this.page.locator('#outcome-text').filter({ hasText: text }).waitFor()
  }

  /** Waits until the page says so of its connection in the middle of a call. */
  async reconnects(text: string): Promise<void> {
    await this.page
      .locator(`${says('reconnecting')} #stage[data-reconnecting=away] #reconnecting:has-text("${text}")`)
      .waitFor()
  }

  /** Waits until the page says that the server is there again, the call going on. */
  async isBack(): Promise<void> {
    await this.page.locator(`${says('online')} #stage[data-reconnecting=back] #reconnecting`).waitFor()
  }

  /** To be called before what breaks the connection; what it returns waits until there is one again, and whether it resumed. */
  async comesBack(): Promise<() => Promise<boolean | undefined>> {
    await this.page.evaluate(() => {
      globalThis.back = new Promise((tell) => {
        let away = false
        carillon.on('state', ({ state, resumed }) => {
          if (away && state === 'online') tell(resumed)
          away ||= state === 'reconnecting'
        })
      })
    })
    return () => this.page.evaluate(() => globalThis.back)
  }

  /** Waits until the media flow as they should. */
  async isWhole(): Promise<void> {
    await this.page.waitForSelector('#stage[data-state=connected][data-interrupted=false]', { timeout: 40_000 })
  }

  /** How long the call has lasted, as it is shown. */
  time(): Promise<string | null> {
    return this.page.textContent('#timer')
  }

  async switchesCamera(on: boolean): Promise<void> {
    await this.press('camera')
    await this.page.waitForSelector(`#stage[data-local-video=${on}]`, { state: 'attached' })
  }

  async shows(name: string, status: 'online' | 'offline'): Promise<void> {
    await this.page.waitForSelector(`.person[data-user="${name}"][data-status=${status}]`)
  }

  /**
   * Waits until the page says yes. Not by `waitForFunction`: Playwright takes the promise that an async function returns
   * for a yes by itself.
   */
  async until<A>(predicate: (argument: A) => Promise<boolean>, argument: A, timeoutMs = 20_000): Promise<void> {
    const loop = async (yes: (argument: A) => Promise<boolean>, given: A, patienceMs: number) => {
      const end = performance.now() + patienceMs
      while (!(await yes(given))) {
        if (performance.now() > end) return false
        await new Promise((next) => setTimeout(next, 100))
      }
      return true
    }
    const inPage = `(${loop})(${predicate}, ${JSON.stringify(argument)}, ${timeoutMs})`
    if (!(await this.page.evaluate<boolean>(inPage))) throw new Error(`not within ${timeoutMs} ms: ${predicate}`)
  }

  /** Waits until so many more pictures of the other side were decoded. */
  async decodes(more: number): Promise<void> {
    const first = await this.page.evaluate(received, { kind: 'video', key: 'framesDecoded' })
    await this.#receives('video', 'framesDecoded', first + more)
  }

  /** Waits until so many packets of sound have come. */
  hears(packets: number): Promise<void> {
    return this.#receives('audio', 'packetsReceived', packets)
  }

  async #receives(kind: string, key: string, least: number): Promise<void> {
    await this.until(receivedAtLeast, { kind, key, least })
  }

  /** How the media go. */
  async path() {
    await this.page.waitForSelector('#path:not([hidden])')
    return this.page.evaluate(() => carillon.calls[0]?.path())
  }

  /** What the call's connection may use now, after all that has been set since it was made. */
  transportPolicy(): Promise<string | undefined> {
    return this.page.evaluate(() => carillon.calls[0]?.peerConnection?.getConfiguration().iceTransportPolicy)
  }

  /** `udp`, `tcp` or `tls`: what runs between this browser and its relay. */
  relayProtocol(): Promise<string | undefined> {
    return this.page.evaluate(relayProtocol)
  }

  /** To be looked at: `test/browser/screenshots/`. */
  async shot(name: string): Promise<void> {
    mkdirSync(SCREENSHOTS, { recursive: true })
    await this.page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) })
  }

  async close(): Promise<void> {
    await this.page.context().close()
  }
}

/** Two phones that have talked until both see each other. */
export async function connect(caller: Phone, callee: Phone, calleeName: string): Promise<void> {
  await caller.calls(calleeName)
  await callee.stage('incoming')
  await callee.press('accept')
  await Promise.all([caller.stage('connected'), callee.stage('connected')])
}

/** The page whose connection is in this state: what is below it is looked at in the same moment. */
const says = (connection: string): string => `#phone:has(#connection[data-state=${connection}])`

// These run in the page, each for itself.

/** The camera's pictures are small, which the processors that encode and decode them are grateful for. */
function filmsSmall(): void {
  const { getUserMedia } = MediaDevices.prototype
  MediaDevices.prototype.getUserMedia = function (wish) {
    if (!wish?.video) return getUserMedia.call(this, wish)
    const asked = wish.video === true ? {} : wish.video
    return getUserMedia.call(this, { ...wish, video: { ...asked, width: 160, height: 120 } })
  }
}

function knowsOnly(source: string): void {
  const like = new RegExp(source)
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor({ iceServers = [], ...configuration }: RTCConfiguration = {}) {
      super({
        ...configuration,
        iceServers: iceServers.filter(({ urls }) => [urls].flat().some((url) => like.test(url))),
      })
    }

    override setConfiguration({ iceServers = [], ...configuration }: RTCConfiguration = {}): void {
      const known = iceServers.filter(({ urls }) => [urls].flat().some((url) => like.test(url)))
      super.setConfiguration({ ...configuration, iceServers: known })
    }
  }
}

function goesOver(relayPort: number): void {
  const behindIt = ({ iceServers = [], ...others }: RTCConfiguration): RTCConfiguration => ({
    ...others,
    iceTransportPolicy: 'relay',
    iceServers: iceServers
      .filter(({ username }) => username !== undefined)
      .slice(0, 1)
      .map((server) => ({ ...server, urls: `turn:127.0.0.1:${relayPort}?transport=tcp` })),
  })
  globalThis.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(configuration: RTCConfiguration = {}) {
      super(behindIt(configuration))
    }

    override setConfiguration(configuration: RTCConfiguration = {}): void {
      super.setConfiguration(behindIt(configuration))
    }
  }
}

function givesSmallPictures(): void {
  const devices = navigator.mediaDevices
  const open = devices.getUserMedia.bind(devices)
  devices.getUserMedia = (wish = {}) =>
    open({ ...wish, ...(wish.video ? { video: { width: 160, height: 120, frameRate: 10 } } : {}) })
}

async function countPictures(): Promise<Record<string, number>> {
  const sums: Record<string, number> = {}
  for (const call of carillon.calls) {
    for (const { userId, peerConnection } of call.room?.members ?? [
      { userId: call.peer.userId, peerConnection: call.peerConnection },
    ]) {
      const report = await peerConnection?.getStats()
      report?.forEach((stat: { type: string; kind: string; framesDecoded?: number }) => {
        if (stat.type !== 'inbound-rtp' || stat.kind !== 'video') return
        sums[userId] = (sums[userId] ?? 0) + (stat.framesDecoded ?? 0)
      })
    }
  }
  return sums
}

async function hasPictures(least: Record<string, number>): Promise<boolean> {
  const seen = await pictures()
  return Object.entries(least).every(([user, count]) => (seen[user] ?? 0) >= count)
}

async function isPainted(): Promise<boolean> {
  const shown = [...document.querySelectorAll('video')].filter(
    (video) => video.checkVisibility({ opacityProperty: true }) && video.clientWidth > 0,
  )
  const canvas = new OffscreenCanvas(8, 8)
  const brush = canvas.getContext('2d', { willReadFrequently: true })
  return (
    shown.length > 0 &&
    shown.every((video) => {
      brush?.drawImage(video, 0, 0, 8, 8)
      const { data = [] } = brush?.getImageData(0, 0, 8, 8) ?? {}
      return [...data].some((value, at) => at % 4 !== 3 && value > 60)
    })
  )
}

/** What is to be known of a picture that is black. */
function painted(): readonly string[] {
  return [...document.querySelectorAll('video')].map((video) => {
    const of = video.closest<HTMLElement>('[data-user]')?.dataset.user ?? video.id
    const [track] = video.srcObject instanceof MediaStream ? video.srcObject.getVideoTracks() : []
    const brush = new OffscreenCanvas(8, 8).getContext('2d')
    brush?.drawImage(video, 0, 0, 8, 8)
    const brightest = Math.max(...(brush?.getImageData(0, 0, 8, 8).data ?? []).filter((_, at) => at % 4 !== 3))
    const shown = video.checkVisibility({ opacityProperty: true }) && `${video.clientWidth} wide`
    const is = `${video.paused ? 'paused' : 'plays'} ${video.readyState} ${track?.readyState} ${track?.muted && 'muted'}`
    return `${of}: ${shown || 'hidden'}, ${is}, brightest ${brightest}`
  })
}

async function silentWith(user: string): Promise<boolean> {
  const alone = carillon.calls.find(({ room, peer }) => !room && peer.userId === user)
  const members = carillon.calls.flatMap(({ room }) => room?.members ?? [])
  const leg = alone ?? members.find(({ userId }) => userId === user)
  const all = leg?.peerConnection?.getTransceivers() ?? []
  return all.length > 0 && all.every(({ currentDirection }) => currentDirection === 'inactive')
}

/** How the client of the chosen candidate pair talks to its relay. */
async function relayProtocol(): Promise<string | undefined> {
  const stats = new Map<string, Record<string, unknown>>()
  const report = await carillon.calls[0]?.peerConnection?.getStats()
  report?.forEach((stat: { id: string }) => {
    stats.set(stat.id, { ...stat })
  })
  const transport = [...stats.values()].find(({ type }) => type === 'transport')
  const pair = stats.get(String(transport?.selectedCandidatePairId))
  return stats.get(String(pair?.localCandidateId))?.relayProtocol as string | undefined
}

async function received({ kind, key }: { kind: string; key: string }): Promise<number> {
  let sum = 0
  const report = await carillon.calls[0]?.peerConnection?.getStats()
  report?.forEach((stat: { type: string; kind: string } & Record<string, unknown>) => {
    if (stat.type === 'inbound-rtp' && stat.kind === kind) sum += Number(stat[key] ?? 0)
  })
  return sum
}

async function receivedAtLeast(wanted: { kind: string; key: string; least: number }): Promise<boolean> {
  let sum = 0
  const report = await carillon.calls[0]?.peerConnection?.getStats()
  report?.forEach((stat: { type: string; kind: string } & Record<string, unknown>) => {
    if (stat.type === 'inbound-rtp' && stat.kind === wanted.kind) sum += Number(stat[wanted.key] ?? 0)
  })
  return sum >= wanted.least
}
