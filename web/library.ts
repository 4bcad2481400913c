import { call } from './api.ts'
import { makeReady } from './image-url.ts'
import { type ListedImage, type Story, storiesOf } from './story.ts'

/** Stories of the first page, which is to be there at once, and of each later one. */
const FIRST_PAGE = 48
const PAGE = 500

/** The stories as far as they were read, the newest first. */
export class Library extends EventTarget {
  stories: readonly Story[] = []
  /** Whether there are no more to read. */
  isComplete = false
  /** Why reading has stopped. */
  trouble: Error | undefined
  #next = `api/v1/images?order=newest&limit=${FIRST_PAGE}`
  #reading = false
  readonly #ids = new Set<string>()

  /** Reads the next page, unless that is under way, or there is none. Says `change` when something has changed. */
  async readMore(): Promise<void> {
    if (this.#reading || this.isComplete || this.trouble) return
    this.#reading = true
    try {
      const answer = await call('GET', this.#next)
      const read = storiesOf((await answer.json()) as ListedImage[])
      await makeReady(read.flatMap(({ paths }) => paths.slice(0, 1)))
      const next = nextPage(answer.headers.get('link'))
      if (next === undefined) this.isComplete = true
      else this.#next = new URL(next, answer.url).href
      this.#add(read, 'behind')
    } catch (error) {
      this.trouble = error as Error
    } finally {
      this.#reading = false
    }
    this.dispatchEvent(new Event('change'))
  }

  /** After trouble. */
  tryAgain(): Promise<void> {
    this.trouble = undefined
    this.dispatchEvent(new Event('change'))
    return this.readMore()
  }

  find(id: string): Story | undefined {
    return this.#ids.has(id) ? this.stories.find((story) => story.id === id) : undefined
  }

  /** Puts a story that was just uploaded in front. */
  async add(story: Story): Promise<void> {
    // Its tile tries again
    await makeReady(story.paths.slice(0, 1)).catch(() => {})
    this.#add([story], 'in front')
    this.dispatchEvent(new Event('change'))
  }

  remove(id: string): void {
    // Its id stays, in case a page that is on its way still has it
    this.stories = this.stories.filter((story) => story.id !== id)
    this.dispatchEvent(new Event('change'))
  }

  #add(stories: readonly Story[], where: 'in front' | 'behind'): void {
    const fresh = stories.filter(({ id }) => !this.#ids.has(id))
    for (const { id } of fresh) this.#ids.add(id)
    this.stories = where === 'behind' ? [...this.stories, ...fresh] : [...fresh, ...this.stories]
  }
}

/** The URL of the next page in a Link header (RFC 8288), which has that link only. */
function nextPage(link: string | null): string | undefined {
  return /<([^>]+)>\s*;\s*rel="?next"?/.exec(link ?? '')?.[1]?.replace(/([?&]limit=)\d+/, `$1${PAGE}`)
}
