import { copyOf, find, icon } from './dom.ts'
import { coverSrcset, makeReady, variantUrl } from './image-url.ts'
import type { Story } from './story.ts'
import { fullDate, images, shortDate } from './words.ts'

/** The shape of a cover, as in grid.css, and its width in pixels on the densest screens. */
const RATIO = 4 / 3
const MOST_WIDTH = 640

/** The delays before another try: the server may be busy with other variants, or the signature may have expired. */
const PAUSES_MS = [1000, 4000, 15_000]

/** Returns the tile of a story. */
export function makeTile(story: Story, openMenu: (anchor: HTMLElement) => void): HTMLElement {
  const tile = copyOf('tile')
  const name = `Story of ${images(story.paths.length)}, ${fullDate(story.createdAt)}`
  const cover = find<HTMLAnchorElement>('.cover', tile)
  cover.href = `#${story.id}`
  cover.setAttribute('aria-label', name)
  find('.count', tile).textContent = String(story.paths.length)
  find('.badge', tile).hidden = story.paths.length === 1
  const time = find<HTMLTimeElement>('time', tile)
  time.dateTime = story.createdAt
  time.textContent = shortDate(story.createdAt)
  time.title = fullDate(story.createdAt)
  const more = find<HTMLButtonElement>('.more', tile)
  more.setAttribute('aria-label', `Actions for: ${name}`)
  more.addEventListener('click', () => openMenu(more))
  showCover(tile, story.paths[0] ?? '')
  return tile
}

function showCover(tile: HTMLElement, path: string): void {
  const image = find<HTMLImageElement>('img', tile)
  const pauses = PAUSES_MS.values()
  const load = () => {
    image.sizes = '(min-width: 600px) 300px, 50vw'
    image.srcset = coverSrcset(path, RATIO, MOST_WIDTH)
    image.src = variantUrl(path, 320)
  }
  image.addEventListener('load', () => tile.classList.add('loaded'))
  image.addEventListener('error', () => {
    const { value: pause, done } = pauses.next()
    if (done) return image.replaceWith(icon('image'))
    setTimeout(async () => {
      if (!tile.isConnected) return
      await makeReady([path]).catch(() => {})
      load()
    }, pause)
  })
  load()
}

/** Removes a tile, and cancels the loading of its image, which would delay those in sight. */
export function dropTile(tile: HTMLElement): void {
  const image = tile.querySelector('img')
  image?.removeAttribute('srcset')
  image?.removeAttribute('src')
  tile.remove()
}

/** Returns the tile of a story that is being read. */
export function makeSkeleton(): HTMLElement {
  return copyOf('skeleton')
}
