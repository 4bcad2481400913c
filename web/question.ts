import { find } from './dom.ts'

const dialog = find<HTMLDialogElement>('#question')

/** Asks before an action that can't be undone. @param yes the text of the button that confirms it */
export function ask(title: string, text: string, yes: string): Promise<boolean> {
  find('h2', dialog).textContent = title
  find('#question-text').textContent = text
  find('[value=yes]', dialog).textContent = yes
  dialog.returnValue = 'no'
  dialog.showModal()
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true })
  })
}
