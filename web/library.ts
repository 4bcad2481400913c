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
  readonly #ids = new Set<string>()

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
    // The id stays in `#ids`: a page that is being read may still have the story
    this.stories = this.stories.filter((story) => story.id !== id)
    this.dispatchEvent(new Event('change'))
  }

  #add(stories: readonly Story[], where: 'before' | 'after'): void {
    const fresh = stories.filter(({ id }) => !this.#ids.has(id))
    for (const { id } of fresh) this.#ids.add(id)
    this.stories = where === 'after' ? [...this.stories, ...fresh] : [...fresh, ...this.stories]
  }
}
