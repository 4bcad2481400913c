import { toast } from './toast.ts'

/** Copies a text, and shows that it is copied. */
export async function copy(text: string, what: string): Promise<void> {
  const isCopied = navigator.clipboard
    ? await navigator.clipboard.writeText(text).then(
        () => true,
        () => copySelected(text),
      )
    : copySelected(text)
  toast(isCopied ? `${what} copied` : `${what} can’t be copied here: ${text}`)
}

/** Copies a text where the page has no clipboard, because its origin is not secure (https://w3c.github.io/clipboard-apis/). */
function copySelected(text: string): boolean {
  const area = document.createElement('textarea')
  area.value = text
  area.className = 'unseen'
  const before = document.activeElement
  document.body.append(area)
  area.select()
  const isCopied = document.execCommand('copy')
  area.remove()
  if (before instanceof HTMLElement) before.focus()
  return isCopied
}
