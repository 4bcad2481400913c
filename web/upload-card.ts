import { button, copyOf, find, icon } from './dom.ts'
import type { Story } from './story.ts'
import { announce } from './toast.ts'
import type { ChosenFile, Upload, UploadState } from './upload.ts'
import { images, percent, size } from './words.ts'

export interface CardEvents {
  readonly onRun: () => void
  readonly onView: (story: Story) => void
  readonly onDismiss: () => void
}

/** An upload in the tray: a progress bar of the story, one of each file, and buttons. */
export class UploadCard {
  readonly element = copyOf('upload')
  readonly #rows = new Map<ChosenFile, HTMLElement>()
  #state: UploadState | undefined
  #quarters = 0
  #clock: ReturnType<typeof setInterval> | undefined

  constructor(
    readonly upload: Upload,
    readonly events: CardEvents,
  ) {
    upload.addEventListener('change', () => this.#show())
    this.#show()
  }

  /** Removes the card, and releases the previews of its files. */
  remove(): void {
    clearInterval(this.#clock)
    for (const row of this.#rows.values()) removeRow(row)
    this.element.remove()
  }

  #show(): void {
    const { state, progress, files } = this.upload
    if (state !== this.#state) this.#showState(state)
    find('.state', this.element).textContent = this.#words()
    const total = find<HTMLProgressElement>('.total', this.element)
    total.value = progress
    total.hidden = state === 'blocked' || state === 'done' || state === 'checking'
    this.#showRows(files)
    if (Math.floor(progress * 4) > this.#quarters && progress < 1) announce(`${percent(progress)} uploaded`)
    this.#quarters = Math.floor(progress * 4)
  }

  #showState(state: UploadState): void {
    const { element, upload } = this
    const hadFocus = find('.buttons', element).contains(document.activeElement)
    this.#state = state
    element.dataset.state = state
    const title = `Story of ${images(upload.files.length)}`
    find('.title', element).textContent = title
    find('.total', element).setAttribute('aria-label', title)
    find('.buttons', element).replaceChildren(...this.#buttons(state))
    if (hadFocus) find('.buttons button', element).focus()
    clearInterval(this.#clock)
    if (state === 'pausing') this.#clock = setInterval(() => this.#show(), 1000)
    if (state === 'pausing' || state === 'failed' || state === 'blocked') announce(this.#words())
  }

  #words(): string {
    const { state, progress, bytes, files, good, trouble, resumesAt } = this.upload
    const seconds = Math.max(0, Math.ceil((resumesAt - Date.now()) / 1000))
    switch (state) {
      case 'checking':
        return 'Looking at the files…'
      case 'waiting':
        return 'Waiting for its turn'
      case 'sending':
        return progress < 1 ? `${percent(progress)} of ${size(bytes)}` : 'Storing…'
      case 'pausing':
        return `${trouble} Next try in ${seconds} s.`
      case 'blocked':
        return trouble || `${files.length - good.length} of ${files.length} can’t be uploaded.`
      case 'done':
        return 'Uploaded'
      default:
        return trouble
    }
  }

  #buttons(state: UploadState): HTMLButtonElement[] {
    const { upload, events } = this
    const { story, good, files } = upload
    const again = (text: string) => button(text, () => upload.tryAgain() && events.onRun(), 'primary')
    if (state === 'pausing') return [again('Try now'), button('Cancel', events.onDismiss)]
    if (state === 'failed' && upload.canRetry) return [again('Try again'), button('Dismiss', events.onDismiss)]
    if (state === 'done' && story) {
      return [button('View story', () => events.onView(story), 'primary'), button('Dismiss', events.onDismiss)]
    }
    if (state !== 'blocked' && state !== 'failed') return [button('Cancel', events.onDismiss)]
    const dismiss = button('Dismiss', events.onDismiss)
    if (state === 'failed' || good.length === 0 || good.length === files.length) return [dismiss]
    const leaveOut = () => {
      upload.leaveOut()
      events.onRun()
    }
    return [button(`Upload the other ${good.length === 1 ? 'one' : good.length}`, leaveOut, 'primary'), dismiss]
  }

  #showRows(files: readonly ChosenFile[]): void {
    for (const [chosen, row] of this.#rows) {
      if (files.includes(chosen)) continue
      removeRow(row)
      this.#rows.delete(chosen)
    }
    for (const chosen of files) {
      const row = this.#rows.get(chosen) ?? makeRow(chosen.file)
      if (!this.#rows.has(chosen)) find('.files', this.element).append(row)
      this.#rows.set(chosen, row)
      showRow(row, chosen, this.upload.state)
    }
  }
}

function makeRow(file: File): HTMLElement {
  const row = copyOf('file')
  const image = find<HTMLImageElement>('img', row)
  image.addEventListener('error', () => image.replaceWith(icon('image')))
  image.src = URL.createObjectURL(file)
  find('.name', row).textContent = file.name
  find('progress', row).setAttribute('aria-label', file.name)
  return row
}

function removeRow(row: HTMLElement): void {
  const image = row.querySelector('img')
  if (image) URL.revokeObjectURL(image.src)
  row.remove()
}

function showRow(row: HTMLElement, { file, sent, problem }: ChosenFile, state: UploadState): void {
  const part = file.size === 0 ? 1 : sent / file.size
  const bar = find<HTMLProgressElement>('progress', row)
  bar.value = part
  bar.hidden = problem !== undefined || (state !== 'sending' && state !== 'pausing' && state !== 'waiting')
  find('.note', row).textContent = problem ?? size(file.size)
  row.classList.toggle('bad', problem !== undefined)
  row.classList.toggle('sent', problem === undefined && part === 1)
  find('.mark use', row).setAttribute('href', problem === undefined ? '#i-check' : '#i-warn')
}
