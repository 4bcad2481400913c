import { call, isNotFound, sentenceOf } from './api.ts'
import { copy } from './copy.ts'
import { find } from './dom.ts'
import type { Grid } from './grid.ts'
import { imageUrl } from './image-url.ts'
import type { Library } from './library.ts'
import { openMenu } from './menu.ts'
import { removeStory } from './remove.ts'
import { settings } from './settings.ts'
import { STORY_ID, type Story, storyOf } from './story.ts'
import { toast } from './toast.ts'
import { Undo } from './undo.ts'
import { prepareViewer, type Viewer } from './viewer.ts'

const GONE = 'This story does not exist any more.'

/**
 * Opens and closes stories as the address says: `#<story id>` or, for another image than the first, `#<story id>/<n>`. So each image has
 * a link of its own, and the back button of the browser closes a story.
 */
export class Reader {
  #open: { readonly story: Story; readonly viewer: Viewer } | undefined
  /** Counts addresses, because a story may open after the address has changed again. */
  #turn = 0
  readonly #undo: Undo

  constructor(
    readonly library: Library,
    readonly grid: Grid,
  ) {
    this.#undo = new Undo(library, (id) => this.#focus(id))
    addEventListener('popstate', () => void this.follow())
    find('#stories').addEventListener('click', (event) => {
      const link = (event.target as Element).closest<HTMLAnchorElement>('a.cover')
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return
      event.preventDefault()
      this.open(link.hash)
    })
  }

  /** Opens a story as a new entry of the browser's history. @param hash with the `#` */
  open(hash: string): void {
    history.pushState({ isOpened: true }, '', hash)
    void this.follow()
  }

  /** Opens or closes a story as the address says. */
  async follow(): Promise<void> {
    this.#turn += 1
    const turn = this.#turn
    const [id = '', number = '1'] = location.hash.slice(1).split('/')
    const index = Math.max(0, (Number.parseInt(number, 10) || 1) - 1)
    if (this.#open?.story.id === id) return this.#open.viewer.goTo(Math.min(index, this.#open.story.paths.length - 1))
    this.#open?.viewer.close()
    if (!STORY_ID.test(id)) return
    try {
      const story = this.library.find(id) ?? (await readStory(id))
      const at = Math.min(index, story.paths.length - 1)
      const show = await prepareViewer(story, at, {
        onPage: (page) => this.#onPage(story, page),
        onMenu: (anchor, page) => openMenu(anchor, this.#actions(story, page)),
        onBroken: () => void this.#closeIfGone(story),
        onClosed: () => this.#onClosed(story),
      })
      // The address may have changed meanwhile
      if (turn === this.#turn) this.#open = { story, viewer: show() }
    } catch (error) {
      if (turn !== this.#turn) return
      history.replaceState(null, '', location.pathname)
      toast(isNotFound(error) ? GONE : sentenceOf(error as Error))
    }
  }

  /** The actions for a story in the grid. */
  openMenu(story: Story, anchor: HTMLElement): void {
    openMenu(anchor, [
      { icon: 'link', text: 'Copy link to the story', action: () => copy(linkTo(story), 'Link') },
      {
        icon: 'copy',
        text: story.paths.length === 1 ? 'Copy image path' : 'Copy image paths',
        action: () => copy(story.paths.join('\n'), story.paths.length === 1 ? 'Path' : 'Paths'),
      },
      { icon: 'trash', text: 'Delete story…', action: () => this.#remove(story), isDangerous: true },
    ])
  }

  #actions(story: Story, page: number) {
    const path = story.paths[page] ?? ''
    const url = new URL(imageUrl(path), location.href).href
    const urlText = settings.privateImages ? 'Copy signed image URL' : 'Copy image URL'
    return [
      { icon: 'copy', text: 'Copy image path', action: () => copy(path, 'Path') },
      { icon: 'link', text: urlText, action: () => copy(url, 'URL') },
      { icon: 'link', text: 'Copy link to the story', action: () => copy(linkTo(story), 'Link') },
      { icon: 'open', text: 'Open the original', action: url },
      { icon: 'trash', text: 'Delete story…', action: () => this.#remove(story), isDangerous: true as const },
    ]
  }

  async #remove(story: Story): Promise<void> {
    const index = this.library.stories.indexOf(story)
    if (!(await removeStory(this.library, this.#undo, story))) return
    this.#open?.viewer.close()
    const next = this.library.stories[index] ?? this.library.stories[index - 1]
    if (this.#open) return
    this.grid.focus(next?.id ?? '')
    if (!next) this.#undo.takeFocus()
  }

  /** Moves the focus to a story of the grid, unless the viewer covers it. */
  #focus(id: string): void {
    if (this.#open) find('.pswp').focus()
    else this.grid.focus(id)
  }

  /** Closes a story that somebody else has deleted. */
  async #closeIfGone(story: Story): Promise<void> {
    const error = await readStory(story.id).catch((error) => error)
    if (!isNotFound(error)) return
    this.library.remove(story.id)
    if (this.#open?.story !== story) return
    this.#open.viewer.close()
    toast(GONE)
  }

  #onPage(story: Story, page: number): void {
    if (this.#open?.story !== story) return
    history.replaceState(history.state, '', page === 0 ? `#${story.id}` : `#${story.id}/${page + 1}`)
  }

  #onClosed(story: Story): void {
    if (this.#open?.story === story) this.#open = undefined
    // The address may already be that of another story
    if (location.hash.startsWith(`#${story.id}`)) {
      if (history.state?.isOpened) history.back()
      else history.replaceState(null, '', location.pathname)
    }
    this.grid.focus(story.id)
  }
}

async function readStory(id: string): Promise<Story> {
  return storyOf(await call((client) => client.getStory(id)))
}

function linkTo({ id }: Story): string {
  return new URL(`#${id}`, location.href).href
}
