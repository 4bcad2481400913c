import { find } from './dom.ts'

const SHOWN_MS = 6000

const toasts = find('#toasts')
const announcer = find('#announcer')

/** Tells everybody something in passing; what is told again is seen once. */
export function toast(text: string): void {
  for (const same of [...toasts.children].filter(({ textContent }) => textContent === text)) same.remove()
  const element = document.createElement('p')
  element.className = 'toast'
  element.textContent = text
  toasts.append(element)
  setTimeout(() => element.remove(), SHOWN_MS)
}

/** Tells those who listen instead of looking. */
export function announce(text: string): void {
  announcer.textContent = text
}
