/** Elements by id, and elements made in one expression. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @returns {T}
 */
export function $(id) {
  const element = document.getElementById(id)
  if (!element) throw new Error(`no element #${id}`)
  return /** @type {T} */ (element)
}

/**
 * `h('button', { type: 'button', onclick }, 'Call')`: properties of the element, or attributes when the name has a dash.
 * @param {string} tag
 * @param {Record<string, unknown>} properties
 * @param {...(Node | string | null | undefined | false)} children
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue
    if (name === 'dataset') Object.assign(element.dataset, value)
    else if (name.includes('-') || name === 'role') element.setAttribute(name, String(value))
    else element[name] = value
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false))
  return element
}

let sprite = '/icons.svg#'

/** Makes the icons part of the page: one that is first shown while the server cannot be reached is there all the same. */
export async function keepIcons() {
  const answer = await fetch('/icons.svg')
  if (!answer.ok) return
  const { documentElement: icons } = new DOMParser().parseFromString(await answer.text(), 'image/svg+xml')
  // Elements of the page have such names as well
  for (const symbol of icons.querySelectorAll('symbol')) symbol.id = `icon-${symbol.id}`
  icons.setAttribute('hidden', '')
  document.body.append(document.adoptNode(icons))
  sprite = '#icon-'
  for (const use of document.querySelectorAll('use')) {
    use.setAttribute('href', iconReference(use.getAttribute('href')?.split('#')[1] ?? ''))
  }
}

/** @param {string} name a symbol of icons.svg @returns what a `use` element refers to it by */
export const iconReference = (name) => sprite + name

/** @param {string} name a symbol of icons.svg */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  svg.setAttribute('aria-hidden', 'true')
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use')
  use.setAttribute('href', iconReference(name))
  svg.append(use)
  return svg
}

/**
 * A coloured disc with initials; the same name has the same colour everywhere.
 * @param {HTMLElement} element
 * @param {string} name
 */
export function paintAvatar(element, name) {
  let hash = 0
  for (const character of name) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0
  element.style.setProperty('--hue', String(hash % 360))
  const words = name
    .trim()
    .split(/[\s._@-]+/)
    .filter(Boolean)
  const [first = '?', second] = words
  element.textContent = ([...first][0] + (second ? [...second][0] : ([...first][1] ?? ''))).toUpperCase()
}
