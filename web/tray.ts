import { find } from './dom.ts'
import type { Story } from './story.ts'
import { announce, toast } from './toast.ts'
import { Upload } from './upload.ts'
import { UploadCard } from './upload-card.ts'
import { images } from './words.ts'

const ENDED = new Set(['done', 'failed', 'blocked', 'cancelled'])

/** The uploads of this page, which run one after another, and their cards. */
export class Tray {
  readonly #tray = find('#tray')
  readonly #cards = new Map<Upload, UploadCard>()
  #queue = Promise.resolve()

  constructor(
    readonly onStory: (story: Story) => void,
    readonly view: (story: Story) => void,
  ) {
    const fold = find('.fold', this.#tray)
    fold.addEventListener('click', () => {
      fold.setAttribute('aria-expanded', String(!this.#tray.classList.toggle('folded')))
    })
    find('.close', this.#tray).addEventListener('click', () => {
      for (const upload of this.#cards.keys()) if (ENDED.has(upload.state)) this.#dismiss(upload)
    })
    addEventListener('beforeunload', (event) => {
      if (this.#isBusy()) event.preventDefault()
    })
  }

  /** Uploads files as a story, in the order of their names. */
  async upload(files: readonly File[]): Promise<void> {
    if (files.length === 0) return
    const inOrder = new Intl.Collator(undefined, { numeric: true })
    const upload = new Upload(files.toSorted((a, b) => inOrder.compare(a.name, b.name)))
    const card = new UploadCard(upload, {
      onRun: () => this.#run(upload),
      onView: (story) => this.view(story),
      onDismiss: () => this.#dismiss(upload),
    })
    this.#cards.set(upload, card)
    upload.addEventListener('change', () => {
      find('.close', this.#tray).hidden = this.#isBusy()
    })
    find('#uploads').prepend(card.element)
    this.#tray.hidden = false
    // The viewer covers the tray
    const tell = this.#tray.inert ? toast : announce
    tell(`New story of ${images(files.length)}`)
    if (await upload.check()) this.#run(upload)
  }

  #run(upload: Upload): void {
    this.#queue = this.#queue.then(async () => {
      await upload.run()
      if (!upload.story) return
      this.onStory(upload.story)
      announce(`Story of ${images(upload.story.paths.length)} uploaded`)
    })
  }

  #dismiss(upload: Upload): void {
    if (!ENDED.has(upload.state)) toast('Upload cancelled')
    upload.cancel()
    this.#cards.get(upload)?.remove()
    this.#cards.delete(upload)
    this.#tray.hidden = this.#cards.size === 0
    // The button that had the focus is removed
    if (this.#tray.hidden) find('header .pick').focus({ preventScroll: true })
    else find('#uploads').focus()
  }

  #isBusy(): boolean {
    return [...this.#cards.keys()].some(({ state }) => !ENDED.has(state))
  }
}
