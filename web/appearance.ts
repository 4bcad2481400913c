import { find } from './dom.ts'

/** The button for light or dark; until it is pressed, the page is as the system is. */
export function showThemeButton(): void {
  const button = find('#theme')
  const root = document.documentElement
  const system = matchMedia('(prefers-color-scheme: dark)')
  const isDark = () => (root.dataset.theme ?? (system.matches ? 'dark' : 'light')) === 'dark'
  const show = () => button.setAttribute('aria-pressed', String(isDark()))
  button.addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark'
    // In a private window there may be no storage; then it is for this page only
    try {
      localStorage.setItem('theme', root.dataset.theme)
    } catch {}
    show()
  })
  system.addEventListener('change', show)
  show()
}
