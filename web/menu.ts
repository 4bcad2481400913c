import { find, icon } from './dom.ts'

export interface MenuItem {
  readonly icon: string
  readonly text: string
  /** A URL, which opens in a new tab, or a function to call. */
  readonly action: string | (() => unknown)
  readonly isDangerous?: true
}

const menu = find('#menu')
let owner: HTMLElement | undefined
/** The top of the owner when the menu opened beside it, in pixels. */
let ownerTop = 0

menu.addEventListener('keydown', (event) => {
  const items = [...menu.querySelectorAll<HTMLElement>('[role=menuitem]')]
  const at = items.indexOf(document.activeElement as HTMLElement)
  const places: Readonly<Record<string, number>> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }
  const place = places[event.key]
  if (event.key === 'Tab') menu.hidePopover()
  if (place === undefined && event.key !== 'Tab') return
  event.preventDefault()
  if (place !== undefined) items.at(place % items.length)?.focus()
})
menu.addEventListener('toggle', (event) => {
  if (event.newState === 'open') return
  // Unless the focus is elsewhere by now, for instance in a dialog
  if (document.activeElement === document.body || menu.contains(document.activeElement)) owner?.focus()
  owner?.removeAttribute('aria-expanded')
})
addEventListener(
  'scroll',
  () => {
    // The event of an earlier scroll may arrive after the menu has opened
    if (isMenuOpen() && owner?.getBoundingClientRect().top !== ownerTop) menu.hidePopover()
  },
  { passive: true },
)

export function isMenuOpen(): boolean {
  return menu.matches(':popover-open')
}

/** Opens a menu beside its button. */
export function openMenu(anchor: HTMLElement, items: readonly MenuItem[]): void {
  owner = anchor
  // In the same part of the page: the others may be inert
  anchor.closest('main, .pswp')?.append(menu)
  menu.replaceChildren(...items.map(element))
  menu.showPopover()
  anchor.setAttribute('aria-expanded', 'true')
  const { left, right, top, bottom } = anchor.getBoundingClientRect()
  ownerTop = top
  const { offsetWidth: width, offsetHeight: height } = menu
  const x = left + width > innerWidth - 8 ? right - width : left
  const y = bottom + height > innerHeight - 8 ? top - height - 4 : bottom + 4
  menu.style.left = `${Math.max(8, x)}px`
  menu.style.top = `${Math.max(8, y)}px`
  find('[role=menuitem]', menu).focus()
}

function element({ icon: name, text, action, isDangerous }: MenuItem): HTMLElement {
  const item = document.createElement(typeof action === 'string' ? 'a' : 'button')
  if (item instanceof HTMLAnchorElement) {
    item.href = String(action)
    item.target = '_blank'
  }
  item.setAttribute('role', 'menuitem')
  item.tabIndex = -1
  item.className = isDangerous ? 'danger' : ''
  item.append(icon(name), text)
  item.addEventListener('click', () => {
    menu.hidePopover()
    if (typeof action === 'function') void action()
  })
  return item
}
