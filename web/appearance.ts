import { find } from './dom.ts'

/** Sets up the button for light or dark. Until it is pressed, the page follows the system. */
export function showThemeButton(): void {
  const button = find('#theme')
  const root = document.documentElement
  const system = matchMedia('(prefers-color-scheme: dark)')
  const isDark = () => (root.dataset.theme ?? (system.matches ? 'dark' : 'light')) === 'dark'
  const show = () => button.setAttribute('aria-pressed', String(isDark()))
  button.addEventListener('click', () => {
    root.dataset.theme = isDark() ? 'light' : 'dark'
    // A private window may have no storage; then the theme lasts as long as the page
    try {
      localStorage.setItem('theme', root.dataset.theme)
    } catch {}
    show()
  })
  system.addEventListener('change', show)
  show()
}
