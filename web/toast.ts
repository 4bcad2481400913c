import { find } from './dom.ts'

const SHOWN_MS = 6000

const toasts = find('#toasts')
const announcer = find('#announcer')

/** Shows a text for some seconds, and lets screen readers say it. Replaces an equal text. */
export function toast(text: string): void {
  for (const same of [...toasts.children].filter(({ textContent }) => textContent === text)) same.remove()
  const element = document.createElement('p')
  element.className = 'toast'
  element.textContent = text
  toasts.append(element)
  setTimeout(() => element.remove(), SHOWN_MS)
}

/** Shows an element beside the texts until it is removed, and lets screen readers say it. */
export function pin(element: HTMLElement): void {
  toasts.append(element)
}

/** Lets screen readers say a text. */
export function announce(text: string): void {
  announcer.textContent = text
}
