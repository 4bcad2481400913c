import { call, isNotFound, sentenceOf } from './api.ts'
import { copyOf, find } from './dom.ts'
import type { Library } from './library.ts'
import type { Story } from './story.ts'
import { pin, toast } from './toast.ts'

/** The longest delay of `setTimeout` in milliseconds (HTML Standard, "Timers": a signed number of 32 bits). */
const MAX_DELAY_MS = 2 ** 31 - 1

interface Deletion {
  readonly story: Story
  readonly expiry: ReturnType<typeof setTimeout> | undefined
}

/** The deletions of this page that can be undone, the last one first. One toast offers it until it is dismissed. */
export class Undo {
  readonly #toast = copyOf('undo')
  #deletions: readonly Deletion[] = []
  #isRestoring = false

  /** @param focus moves the focus to a story or, if it is not in the grid, to the grid */
  constructor(
    readonly library: Library,
    readonly focus: (id: string) => void,
  ) {
    find('.again', this.#toast).addEventListener('click', () => void this.#restoreLast())
    find('.close', this.#toast).addEventListener('click', () => {
      this.#keep([])
      this.focus('')
    })
    addEventListener('keydown', (event) => this.#onKey(event))
  }

  /** Offers to undo the deletion of a story. @param until undefined if the server does not say how long that can be undone */
  add(story: Story, until: Date | undefined): void {
    const delay = until ? until.getTime() - Date.now() : Number.POSITIVE_INFINITY
    const expiry = delay <= MAX_DELAY_MS ? setTimeout(() => this.#drop(story), delay) : undefined
    this.#keep([...this.#deletions, { story, expiry }])
  }

  /** Moves the focus to the button, if there is something to undo. */
  takeFocus(): void {
    find('.again', this.#toast).focus()
  }

  async #restoreLast(): Promise<void> {
    const story = this.#deletions.at(-1)?.story
    if (!story || this.#isRestoring) return
    this.#isRestoring = true
    try {
      await call((client) => client.restoreStory(story.id))
      await this.library.restore(story)
      this.#drop(story)
      toast('Story restored')
      this.focus(story.id)
    } catch (error) {
      toast(`The story was not restored. ${sentenceOf(error as Error)}`)
      // Its images are gone for good
      if (isNotFound(error)) this.#drop(story)
    } finally {
      this.#isRestoring = false
    }
  }

  #drop(story: Story): void {
    this.#keep(this.#deletions.filter((deletion) => deletion.story !== story))
  }

  #keep(deletions: readonly Deletion[]): void {
    for (const deletion of this.#deletions) if (!deletions.includes(deletion)) clearTimeout(deletion.expiry)
    this.#deletions = deletions
    const hadFocus = this.#toast.contains(document.activeElement)
    const count = deletions.length
    if (count === 0) {
      this.#toast.remove()
      // The button that had the focus is removed
      if (hadFocus) this.focus('')
      return
    }
    find('p', this.#toast).textContent = count === 1 ? 'Story deleted' : `${count} stories deleted`
    find('.again', this.#toast).textContent = count === 1 ? 'Undo' : 'Undo the last'
    if (!this.#toast.isConnected) pin(this.#toast)
  }

  #onKey(event: KeyboardEvent): void {
    const isUndo = event.key === 'z' && (event.ctrlKey || event.metaKey) && !event.shiftKey && !event.altKey
    if (!isUndo || this.#deletions.length === 0) return
    // A field has its own undo
    if (event.target instanceof HTMLInputElement || document.querySelector('dialog[open]')) return
    event.preventDefault()
    void this.#restoreLast()
  }
}
