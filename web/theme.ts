// A script of its own, which runs before the page is painted and before its module is loaded.

// First, or the page would flash in the other colours
try {
  const kept = localStorage.getItem('theme')
  if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept
} catch {
  // Without storage the theme is that of the system
}

// Shows a notice if the page can't start. Files that do not load fire an event that does not bubble, so it has to be captured
addEventListener('error', sayThatItFailed, true)
addEventListener('started', () => removeEventListener('error', sayThatItFailed, true), { once: true })

function sayThatItFailed({ target, error }: ErrorEvent): void {
  // The page starts without an image, the font or a style
  if (target instanceof Element && target.tagName !== 'SCRIPT') return
  // The notice may not be parsed yet
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', show)
  else show()

  function show(): void {
    const notice = document.querySelector<HTMLElement>('#trouble')
    const [title, detail, button] = ['h2', '.detail', 'button'].map((selector) => notice?.querySelector(selector))
    if (!notice || !title || !detail || !button) return
    title.textContent = 'The page can’t start'
    detail.textContent = error instanceof Error ? error.message : 'One of its files could not be loaded.'
    button.textContent = 'Load it again'
    button.addEventListener('click', () => location.reload())
    document.querySelector('#stories')?.removeAttribute('aria-busy')
    notice.hidden = false
  }
}
