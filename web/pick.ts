import { find } from './dom.ts'

/** Calls `take` with files that are chosen, dropped anywhere in the page, or pasted. */
export function onFiles(take: (files: readonly File[]) => void): void {
  const input = find<HTMLInputElement>('#files')
  for (const opener of document.querySelectorAll('.pick')) opener.addEventListener('click', () => input.click())
  input.addEventListener('change', () => {
    take([...(input.files ?? [])])
    // Or choosing the same files again would be no change
    input.value = ''
  })

  addEventListener('paste', (event) => {
    const files = [...(event.clipboardData?.files ?? [])]
    if (files.length === 0) return
    event.preventDefault()
    take(files)
  })

  const sign = find('#drop')
  // Entering a child of an element also fires `dragleave` for the element
  let depth = 0
  const show = (change: number) => {
    depth = Math.max(0, depth + change)
    sign.hidden = depth === 0
  }
  addEventListener('dragenter', (event) => hasFiles(event) && show(1))
  addEventListener('dragleave', (event) => hasFiles(event) && show(-1))
  addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return
    // Or the browser would open the file instead of the page
    event.preventDefault()
    if (event.dataTransfer) event.dataTransfer.dropEffect = 'copy'
  })
  addEventListener('drop', (event) => {
    if (!hasFiles(event)) return
    event.preventDefault()
    show(-depth)
    take([...(event.dataTransfer?.files ?? [])])
  })
}

function hasFiles({ dataTransfer }: DragEvent): boolean {
  return dataTransfer?.types.includes('Files') ?? false
}
