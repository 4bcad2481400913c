import { find } from './dom.ts'

const PLACE = 'story-images-key'

const dialog = find<HTMLDialogElement>('#key-prompt')
const input = find<HTMLInputElement>('#key-input')
const opener = find<HTMLButtonElement>('#key')

let key = kept()
let asking: Promise<boolean> | undefined

// These are not submit buttons, because Enter presses the first one
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

/** Asks for an API key; requests that need one at the same time share the question. @returns whether there is another key now */
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
        // Or a password manager could find the key here
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
    // Without storage the key lasts as long as the page
  }
}

/** Returns the key of this tab. Reading `sessionStorage` throws if the browser forbids storage. */
function kept(): string | null {
  try {
    return sessionStorage.getItem(PLACE)
  } catch {
    return null
  }
}
