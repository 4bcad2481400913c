// This file is a script of its own, which runs before anything is painted and before the page's module is loaded.

// The colours first, so that nothing flashes in the other ones
try {
  const kept = localStorage.getItem('theme')
  if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept
} catch {
  // Without storage it is as the system has it
}

// A page that can't start says so, instead of staying empty. Files that do not load are told to the capturing phase only
addEventListener('error', sayThatItFailed, true)
addEventListener('started', () => removeEventListener('error', sayThatItFailed, true), { once: true })

function sayThatItFailed({ target, error }: ErrorEvent): void {
  // An image, the font or a style is no reason
  if (target instanceof Element && target.tagName !== 'SCRIPT') return
  // The error can be older than the page
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
