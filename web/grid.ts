import { find } from './dom.ts'
import type { Library } from './library.ts'
import type { Story } from './story.ts'
import { dropTile, makeSkeleton, makeTile } from './tile.ts'

/** The part above and below the window that has tiles too, in heights of the window. */
const MARGIN = 1

/** Places that are shown for stories which are being read: for the first page, and rows for later pages. */
const FIRST_SKELETONS = 24
const SKELETON_ROWS = 3

/**
 * The grid of stories. Only stories near the visible part have a tile; padding stands for the others. CSS decides how many tiles a row
 * has and how high it is.
 */
export class Grid {
  readonly #list = find<HTMLUListElement>('#stories')
  readonly #tiles = new Map<string, HTMLElement>()
  #frame = 0

  constructor(
    readonly library: Library,
    readonly openMenu: (story: Story, anchor: HTMLElement) => void,
  ) {
    const later = () => {
      this.#frame ||= requestAnimationFrame(() => this.render())
    }
    library.addEventListener('change', () => this.render())
    addEventListener('scroll', later, { passive: true })
    new ResizeObserver(later).observe(document.body)
    this.#list.addEventListener('keydown', (event) => this.#onKey(event))
    this.render()
  }

  render(): void {
    cancelAnimationFrame(this.#frame)
    this.#frame = 0
    const { stories, isComplete, trouble } = this.library
    const { columns, rowHeight } = this.#measure()
    const skeletons = stories.length === 0 ? FIRST_SKELETONS : columns * SKELETON_ROWS - (stories.length % columns)
    const count = stories.length + (isComplete || trouble ? 0 : skeletons)
    const rows = Math.ceil(count / columns)
    const above = -this.#list.getBoundingClientRect().top
    const from = clamp(Math.floor((above - MARGIN * innerHeight) / rowHeight), rows)
    const to = clamp(Math.ceil((above + (1 + MARGIN) * innerHeight) / rowHeight), rows)
    this.#show(from * columns, Math.min(to * columns, count))
    this.#list.style.paddingTop = `${from * rowHeight}px`
    this.#list.style.paddingBottom = `${(rows - to) * rowHeight}px`
    this.#list.setAttribute('aria-busy', String(count > stories.length && stories.length === 0))
    this.#list.hidden = count === 0
    if (to * columns > stories.length) void this.library.readMore()
  }

  /** Moves the focus to a story, which may be outside the window. */
  focus(id: string): void {
    const index = this.library.stories.findIndex((story) => story.id === id)
    if (index >= 0) this.#focusAt(index)
    // Without stories the list is hidden
    else (this.#list.hidden ? find('header .pick') : this.#list).focus({ preventScroll: true })
  }

  /** Shows the tiles of a range of places. */
  #show(start: number, end: number): void {
    const { stories } = this.library
    const keys = Array.from(
      { length: Math.max(0, end - start) },
      (_, at) => stories[start + at]?.id ?? `-${start + at}`,
    )
    const wanted = new Set(keys)
    for (const [key, tile] of this.#tiles) {
      if (wanted.has(key)) continue
      // Or the next key that is pressed would start at the top of the page
      if (tile.contains(document.activeElement)) this.#list.focus({ preventScroll: true })
      this.#tiles.delete(key)
      dropTile(tile)
    }
    for (const [at, key] of keys.entries()) {
      const story = stories[start + at]
      const tile =
        this.#tiles.get(key) ?? (story ? makeTile(story, (anchor) => this.openMenu(story, anchor)) : makeSkeleton())
      this.#tiles.set(key, tile)
      if (story) {
        tile.setAttribute('aria-posinset', String(start + at + 1))
        tile.setAttribute('aria-setsize', this.library.isComplete ? String(stories.length) : '-1')
      }
      if (this.#list.children[at] !== tile) this.#list.insertBefore(tile, this.#list.children[at] ?? null)
    }
  }

  #measure(): { columns: number; rowHeight: number } {
    if (this.#list.childElementCount === 0) {
      this.#list.hidden = false
      this.#show(0, 1)
    }
    const { gridTemplateColumns, rowGap } = getComputedStyle(this.#list)
    const columns = gridTemplateColumns.split(' ').length
    const height = this.#list.firstElementChild?.getBoundingClientRect().height ?? 0
    return { columns, rowHeight: Math.max(1, height) + Number.parseFloat(rowGap) }
  }

  #onKey(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const { columns } = this.#measure()
    const last = this.library.stories.length - 1
    const at = this.library.stories.findIndex(({ id }) => this.#tiles.get(id)?.contains(document.activeElement))
    const places: Readonly<Record<string, number>> = {
      ArrowRight: at + 1,
      ArrowLeft: at - 1,
      ArrowDown: at + columns,
      ArrowUp: at - columns,
      Home: 0,
      End: last,
    }
    const place = places[event.key]
    if (place === undefined || last < 0) return
    event.preventDefault()
    // The list itself has the focus if the tile that had it was removed
    if (at === -1) this.#focusAt(this.#firstSeen())
    else if (place >= 0 && place <= last) this.#focusAt(place)
  }

  #firstSeen(): number {
    return this.library.stories.findIndex(({ id }) => (this.#tiles.get(id)?.getBoundingClientRect().top ?? -1) >= 0)
  }

  #focusAt(index: number): void {
    const id = this.library.stories[index]?.id ?? ''
    const { columns, rowHeight } = this.#measure()
    if (!this.#tiles.has(id)) {
      const top = scrollY + this.#list.getBoundingClientRect().top + Math.floor(index / columns) * rowHeight
      scrollTo({ top: top - innerHeight / 2, behavior: 'instant' })
      this.render()
    }
    this.#tiles.get(id)?.querySelector<HTMLElement>('.cover')?.focus()
  }
}

function clamp(row: number, rows: number): number {
  return Math.max(0, Math.min(rows, row))
}
