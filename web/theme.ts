// On its own and before anything is painted, so that nothing flashes in the other colours
try {
  const kept = localStorage.getItem('theme')
  if (kept === 'light' || kept === 'dark') document.documentElement.dataset.theme = kept
} catch {
  // Without storage it is as the system has it
}
