import { link, mkdir, readdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { v7 } from 'uuid'
import { upload } from '../acceptance/client.ts'
import { diskStore, serverOn } from '../acceptance/stores.ts'
import { skipWithoutChromium as skip } from '../support/chromium.ts'
import { landscape } from './landscapes.ts'
import { isAccessible, openPage } from './page.ts'

const STORIES = 10_000
const HOUR_MS = 3_600_000

/** Makes stories of the files of one, each an hour older than the one before. */
async function multiply(folder: string, id: string, count: number): Promise<void> {
  const source = join(folder, 'stories', id)
  const names = await readdir(source)
  const one = async (number: number) => {
    const target = join(folder, 'stories', v7({ msecs: Date.now() - number * HOUR_MS }))
    await mkdir(`${target}.new`)
    for (const name of names) await link(join(source, name), join(`${target}.new`, name))
    await rename(`${target}.new`, target)
  }
  for (let first = 1; first < count; first += 50) {
    await Promise.all(Array.from({ length: Math.min(50, count - first) }, (_, at) => one(first + at)))
  }
}

t.test('10,000 stories are at hand at once, and walked through to the last one', { skip }, async (t) => {
  const store = await diskStore(t)
  const server = await serverOn(t, store)
  const { story_id: id } = await upload(server, [await landscape(1, 800, 600)])
  await multiply(store.environment.DATA_DIR ?? '', id, STORIES)

  const page = await openPage(t, {}, /net::ERR_BLOCKED_BY_CLIENT/)
  await page.addInitScript(() => {
    const seen = { shift: 0, most: 0, firstThumbnail: 0 }
    Object.assign(self, { seen })
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as (PerformanceEntry & { value: number })[]) seen.shift += entry.value
    }).observe({ type: 'layout-shift', buffered: true })
    document.addEventListener(
      'load',
      (event) => {
        if (event.target instanceof HTMLImageElement && event.target.closest('.tile')) {
          seen.firstThumbnail ||= performance.now()
        }
      },
      { capture: true },
    )
    new MutationObserver(() => {
      seen.most = Math.max(seen.most, document.querySelectorAll('*').length)
    }).observe(document, { childList: true, subtree: true })
  })
  const seen = () =>
    page.evaluate(() => (self as unknown as { seen: Record<'shift' | 'most' | 'firstThumbnail', number> }).seen)

  for (const visit of ['first', 'second']) {
    await page.goto(server.url)
    await page.locator('.tile.loaded').nth(4).waitFor()
    const { firstThumbnail, shift } = await seen()
    t.comment(`${visit} visit: first thumbnail after ${Math.round(firstThumbnail)} ms, layout shift ${shift}`)
    t.ok(shift < 0.01, `${visit} visit: nothing moves by itself`)
  }
  await page.locator('.tile.loaded').nth(14).waitFor()

  // Thumbnails of stories that are only passed are no part of this
  const session = await page.context().newCDPSession(page)
  await session.send('Network.enable')
  await session.send('Network.setBlockedURLs', { urls: ['*/images/stories/*'] })
  const milliseconds = await page.evaluate(async (count) => {
    const begin = performance.now()
    while (!document.querySelector(`[aria-posinset="${count}"]`)) {
      scrollTo({ top: document.body.scrollHeight, behavior: 'instant' })
      await new Promise((resolve) => requestAnimationFrame(resolve))
    }
    return performance.now() - begin
  }, STORIES)
  const { most, shift } = await seen()
  t.comment(`to the last story in ${Math.round(milliseconds)} ms; at most ${most} elements; layout shift ${shift}`)
  t.ok(most < 2000, `the page stays light: ${most} elements`)
  t.ok(shift < 0.01, `nothing moves by itself: ${shift}`)

  await session.send('Network.setBlockedURLs', { urls: [] })
  await page.locator('a.cover').last().focus()
  await page.keyboard.press('Home')
  t.equal(await page.evaluate(() => document.activeElement?.closest('li')?.getAttribute('aria-posinset')), '1')
  await page.keyboard.press('End')
  t.equal(await page.evaluate(() => document.activeElement?.closest('li')?.getAttribute('aria-posinset')), `${STORIES}`)
  await page.keyboard.press('Enter')
  await page.locator('.pswp--open').waitFor()
  await page.keyboard.press('Escape')
  await page.locator('.pswp').waitFor({ state: 'detached' })
  t.equal(await page.evaluate(() => document.activeElement?.closest('li')?.getAttribute('aria-posinset')), `${STORIES}`)
  await isAccessible(t, page, 'far down')
})
