import type PhotoSwipe from 'photoswipe'
import type { SlideData } from 'photoswipe'
import { find } from './dom.ts'
import { imageUrl, makeReady, srcset, variantUrl } from './image-url.ts'
import { isMenuOpen } from './menu.ts'
import type { Story } from './story.ts'
import { fullDate, shortDate } from './words.ts'

/** The size of an image whose own size is not known yet. */
const GUESS = { width: 1600, height: 1200 }

const MORE =
  '<svg class="pswp__icn" viewBox="0 0 32 32" width="32" height="32" aria-hidden="true"><path d="M8 13a3 3 0 1 0 0 6 3 3 0 0 0 0-6m8 0a3 3 0 1 0 0 6 3 3 0 0 0 0-6m8 0a3 3 0 1 0 0 6 3 3 0 0 0 0-6"/></svg>'

export interface ViewerEvents {
  /** Called with the index of the image that is shown now. */
  readonly onPage: (index: number) => void
  readonly onMenu: (anchor: HTMLElement, index: number) => void
  /** Called if an image can't be shown. */
  readonly onBroken: () => void
  readonly onClosed: () => void
}

export interface Viewer {
  goTo(index: number): void
  close(): void
}

/** Loads what the viewer needs for a story. @returns a function that opens it at the image `index` */
export async function prepareViewer(story: Story, index: number, events: ViewerEvents): Promise<() => Viewer> {
  const [{ default: Viewer }] = await Promise.all([import('photoswipe'), makeReady(story.paths)])
  const count = story.paths.length
  const slides: SlideData[] = story.paths.map((path, at) => ({
    src: variantUrl(path, 1920),
    alt: `Image ${at + 1} of ${count}`,
    ...GUESS,
  }))
  await measure(slides, story.paths, index)
  return () => show(Viewer, story, slides, index, events)
}

function show(
  Viewer: typeof PhotoSwipe,
  story: Story,
  slides: SlideData[],
  index: number,
  events: ViewerEvents,
): Viewer {
  const count = slides.length
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches
  const viewer = new Viewer({
    dataSource: slides,
    index,
    bgOpacity: 1,
    loop: false,
    trapFocus: false,
    showHideAnimationType: calm ? 'none' : 'fade',
    ...(calm && { zoomAnimationDuration: false, showAnimationDuration: 0, hideAnimationDuration: 0 }),
    wheelToZoom: true,
    errorMsg: 'This image can’t be shown',
    closeTitle: 'Close (Esc)',
    zoomTitle: 'Zoom (Z)',
    arrowPrevTitle: 'Previous image (←)',
    arrowNextTitle: 'Next image (→)',
    paddingFn: ({ x }) =>
      x < 700 ? { top: 56, bottom: 56, left: 0, right: 0 } : { top: 60, bottom: 60, left: 72, right: 72 },
  })
  const close = () => {
    // PhotoSwipe ignores `close` while it opens
    if (viewer.opener.isOpen) viewer.close()
    else viewer.on('openingAnimationEnd', () => viewer.close())
  }
  addButtons(viewer, story, events)
  // PhotoSwipe asks for the data of the next images too
  viewer.on('gettingData', ({ index: at }) => {
    void measure(slides, story.paths, at).then((isNew) => isNew && viewer.refreshSlideContent(at))
  })
  viewer.on('loadError', () => events.onBroken())
  viewer.on('change', () => {
    events.onPage(viewer.currIndex)
    // At the last image the arrow that had the focus disappears
    if (document.activeElement === document.body) viewer.element?.focus()
  })
  viewer.on('keydown', (event) => {
    const { key, target } = event.originalEvent
    if (isMenuOpen() || document.querySelector('dialog[open]')) event.preventDefault()
    else if (key === 'Home') viewer.goTo(0)
    else if (key === 'End') viewer.goTo(count - 1)
    else if (key === 'PageUp') viewer.prev()
    else if (key === 'PageDown' || (key === ' ' && target === viewer.element)) viewer.next()
    else return
    // Or the page behind would scroll
    if (!isMenuOpen()) event.originalEvent.preventDefault()
  })
  const page = find('#page')
  const tray = find('#tray')
  viewer.on('close', () => {
    page.inert = false
    tray.inert = false
    events.onClosed()
  })
  viewer.init()
  page.inert = true
  tray.inert = true
  viewer.element?.setAttribute('aria-label', `Story, ${fullDate(story.createdAt)}`)
  viewer.element?.setAttribute('aria-modal', 'true')
  viewer.element?.addEventListener('keydown', ({ key }) => key === 'Escape' && !isMenuOpen() && close())
  viewer.element?.focus()
  return { goTo: (to) => viewer.goTo(to), close }
}

function addButtons(viewer: PhotoSwipe, story: Story, { onMenu }: ViewerEvents): void {
  viewer.on('uiRegister', () => {
    viewer.ui?.registerElement({
      name: 'more',
      title: 'Actions',
      order: 15,
      isButton: true,
      html: MORE,
      onInit: (element) => element.setAttribute('aria-haspopup', 'menu'),
      onClick: (_event, element) => onMenu(element, viewer.currIndex),
    })
    viewer.ui?.registerElement({
      name: 'date',
      order: 6,
      html: '',
      onInit: (element) => {
        element.textContent = shortDate(story.createdAt)
        element.title = fullDate(story.createdAt)
      },
    })
    viewer.ui?.registerElement({
      name: 'position',
      appendTo: 'root',
      html: '',
      className: 'unseen',
      onInit: (element) => {
        element.setAttribute('role', 'status')
        viewer.on('change', () => {
          element.textContent = `Image ${viewer.currIndex + 1} of ${viewer.getNumItems()}`
        })
      },
    })
  })
}

const measured = new WeakMap<SlideData, Promise<boolean>>()

/** Gives a slide the size of its image. @returns whether its size was not known before */
function measure(slides: SlideData[], paths: readonly string[], index: number): Promise<boolean> {
  const slide = slides[index]
  const path = paths[index]
  if (!slide || path === undefined) return Promise.resolve(false)
  const known = measured.get(slide)
  if (known) return known.then(() => false)
  const measuring = sizeOf(path).then((size) => {
    if (size) Object.assign(slide, size, { srcset: `${srcset(path)}, ${imageUrl(path)} ${size.width}w` })
    return size !== undefined
  })
  measured.set(slide, measuring)
  return measuring
}

/** Reads the size from the headers of an image or, if they have none, from the image. Returns undefined if it can't be shown. */
async function sizeOf(path: string): Promise<{ width: number; height: number } | undefined> {
  const { headers } = await fetch(imageUrl(path), { method: 'HEAD' }).catch(() => new Response())
  const [width, height] = [Number(headers.get('x-image-width')), Number(headers.get('x-image-height'))]
  if (width > 0 && height > 0) return { width, height }
  const image = new Image()
  image.src = imageUrl(path)
  await image.decode().catch(() => {})
  return image.naturalWidth > 0 ? { width: image.naturalWidth, height: image.naturalHeight } : undefined
}
