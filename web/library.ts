import { call } from './api.ts'
import { makeReady } from './image-url.ts'
import { type Story, storyOf } from './story.ts'

/** Stories of the first page, which has to arrive soon, and of each later one. */
const FIRST_PAGE = 48
const PAGE = 500

/** The stories that were read so far, the newest first. Dispatches `change`. */
export class Library extends EventTarget {
  stories: readonly Story[] = []
  /** Whether every story was read. */
  isComplete = false
  /** Why reading has stopped. */
  trouble: Error | undefined
  #cursor: string | undefined
  #reading = false
  /** The stories with those that were removed, which keep their places. */
  #all: readonly Story[] = []
  readonly #ids = new Set<string>()
  readonly #removed = new Set<string>()

  /** Reads the next page, if there is one and it is not being read. */
  async readMore(): Promise<void> {
    if (this.#reading || this.isComplete || this.trouble) return
    this.#reading = true
    try {
      const limit = this.#cursor === undefined ? FIRST_PAGE : PAGE
      const page = await call((client) => client.listPage({ order: 'newest', limit, cursor: this.#cursor }))
      const read = page.stories.map(storyOf)
      await makeReady(read.flatMap(({ paths }) => paths.slice(0, 1)))
      this.#cursor = page.cursor
      this.isComplete = page.cursor === undefined
      this.#add(read, 'after')
    } catch (error) {
      this.trouble = error as Error
    } finally {
      this.#reading = false
    }
    this.dispatchEvent(new Event('change'))
  }

  /** Reads on after trouble. */
  tryAgain(): Promise<void> {
    this.trouble = undefined
    this.dispatchEvent(new Event('change'))
    return this.readMore()
  }

  find(id: string): Story | undefined {
    return this.#ids.has(id) ? this.stories.find((story) => story.id === id) : undefined
  }

  /** Adds a story that was just uploaded as the first one. */
  async add(story: Story): Promise<void> {
    // The tile of the story tries again
    await makeReady(story.paths.slice(0, 1)).catch(() => {})
    this.#add([story], 'before')
    this.dispatchEvent(new Event('change'))
  }

  remove(id: string): void {
    this.#removed.add(id)
    this.#show()
    this.dispatchEvent(new Event('change'))
  }

  /** Shows a story that was removed, at its place. */
  async restore(story: Story): Promise<void> {
    await makeReady(story.paths.slice(0, 1)).catch(() => {})
    this.#removed.delete(story.id)
    if (!this.#ids.has(story.id)) this.#insert(story)
    this.#show()
    this.dispatchEvent(new Event('change'))
  }

  #add(stories: readonly Story[], where: 'before' | 'after'): void {
    const fresh = stories.filter(({ id }) => !this.#ids.has(id))
    for (const { id } of fresh) this.#ids.add(id)
    this.#all = where === 'after' ? [...this.#all, ...fresh] : [...fresh, ...this.#all]
    this.#show()
  }

  /** Adds a story that was opened by its link and removed before its page was read. A page that is still to be read will have it. */
  #insert(story: Story): void {
    // Ids of uploads begin with their time
    const index = this.#all.findIndex(({ id }) => id < story.id)
    if (index === -1 && !this.isComplete) return
    this.#ids.add(story.id)
    this.#all = this.#all.toSpliced(index === -1 ? this.#all.length : index, 0, story)
  }

  #show(): void {
    this.stories = this.#all.filter(({ id }) => !this.#removed.has(id))
  }
}
