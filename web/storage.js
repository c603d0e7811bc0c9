/**
 * What the page remembers: per tab who one is (two tabs are two devices, or two people), per browser the people seen
 * and the settings. A browser that forbids storage only forgets.
 */

const PEOPLE = 'carillon.people'
const MOST_PEOPLE = 100

/** @param {Storage} storage @param {string} key */
function read(storage, key) {
  try {
    return JSON.parse(storage.getItem(key) ?? 'null')
  } catch {
    return null
  }
}

/** @param {Storage} storage @param {string} key @param {unknown} value */
function write(storage, key, value) {
  try {
    if (value === null) storage.removeItem(key)
    else storage.setItem(key, JSON.stringify(value))
  } catch {
    // full or forbidden
  }
}

export const tab = {
  /** @returns {{ name: string, token?: string, pasted?: boolean } | null} */
  get who() {
    return read(sessionStorage, 'carillon.who')
  },
  set who(who) {
    write(sessionStorage, 'carillon.who', who)
  },
}

export const settings = {
  get sound() {
    return read(localStorage, 'carillon.sound') !== false
  },
  set sound(on) {
    write(localStorage, 'carillon.sound', on)
  },
  get framesOpen() {
    return read(localStorage, 'carillon.frames') === true
  },
  set framesOpen(open) {
    write(localStorage, 'carillon.frames', open)
  },
}

/**
 * People this browser has seen, the latest first.
 * @returns {{ id: string, at: number, note?: string }[]}
 */
export function people() {
  const stored = read(localStorage, PEOPLE)
  return Array.isArray(stored) ? stored.filter((person) => typeof person?.id === 'string') : []
}

/** @param {string} id @param {string} [note] the last thing that happened with them */
export function remember(id, note) {
  const all = people()
  const known = all.find((person) => person.id === id)
  const person = { id, at: Date.now(), note: note ?? known?.note }
  write(localStorage, PEOPLE, [person, ...all.filter((other) => other.id !== id)].slice(0, MOST_PEOPLE))
}

/** @param {string} id */
export function forget(id) {
  write(
    localStorage,
    PEOPLE,
    people().filter((person) => person.id !== id),
  )
}

/** Another tab has met somebody, or has become somebody. @param {() => void} listener */
export function onPeopleChange(listener) {
  addEventListener('storage', (event) => {
    if (event.key === PEOPLE) listener()
  })
}
