import { find } from './dom.ts'

const PLACE = 'story-images-key'

const dialog = find<HTMLDialogElement>('#key-prompt')
const input = find<HTMLInputElement>('#key-input')
const opener = find<HTMLButtonElement>('#key')

let key = kept()
let asking: Promise<boolean> | undefined

// Not submit buttons: the first one would be the one that Enter presses
find('.cancel', dialog).addEventListener('click', () => dialog.close('cancel'))
find('.forget', dialog).addEventListener('click', () => {
  input.value = ''
  dialog.close('use')
})
opener.hidden = key === null
opener.addEventListener('click', async () => {
  if (await askForKey('Requests are sent with the API key of this tab.')) location.reload()
})

export function currentKey(): string | null {
  return key
}

/** Asks once, however many requests need the key. @returns whether there is another key now */
export function askForKey(why: string): Promise<boolean> {
  asking ??= ask(why).finally(() => {
    asking = undefined
  })
  return asking
}

function ask(why: string): Promise<boolean> {
  find('#key-text').textContent = why
  input.value = ''
  find('.forget', dialog).hidden = key === null
  dialog.returnValue = 'cancel'
  dialog.showModal()
  return new Promise((resolve) => {
    dialog.addEventListener(
      'close',
      () => {
        if (dialog.returnValue === 'use') keep(input.value.trim())
        // A password manager, or a look over the shoulder, finds nothing here
        input.value = ''
        resolve(dialog.returnValue === 'use')
      },
      { once: true },
    )
  })
}

function keep(entered: string): void {
  key = entered === '' ? null : entered
  opener.hidden = key === null
  try {
    if (key === null) sessionStorage.removeItem(PLACE)
    else sessionStorage.setItem(PLACE, key)
  } catch {
    // Then it is for this page only
  }
}

/** The key of this tab. A browser may forbid storage, which is an error at the first touch. */
function kept(): string | null {
  try {
    return sessionStorage.getItem(PLACE)
  } catch {
    return null
  }
}
