import { rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import sharp from 'sharp'
import t, { type Test } from 'tap'
import { v7 } from 'uuid'
import { upload } from '../acceptance/client.ts'
import { diskStore, serverOn } from '../acceptance/stores.ts'
import { skipWithoutChromium as skip } from '../support/chromium.ts'
import { landscape } from './landscapes.ts'
import { calm, isAccessible, openPage, screenshot, screenshotFolder, settled, WRITE_SCREENSHOTS } from './page.ts'

const DOCS = fileURLToPath(new URL('../../docs/images/', import.meta.url))

const HOUR_MS = 3_600_000
const COUNTS = [4, 1, 6, 3, 8, 2, 5]
const SIZES = [
  ['phone', 390, 844],
  ['tablet', 820, 1180],
  ['desktop', 1440, 900],
] as const

/** A server with stories of the last weeks. */
async function filled(t: Test): Promise<string> {
  const store = await diskStore(t)
  const server = await serverOn(t, store)
  const inside = await landscape(9, 1000, 750)
  const stories = join(store.environment.DATA_DIR ?? '', 'stories')
  for (let at = 0; at < 20; at += 1) {
    const count = COUNTS[at % COUNTS.length] ?? 1
    const cover = await landscape(at * 11 + 1, 1000, 750)
    const { story_id: id } = await upload(server, [cover, ...Array.from({ length: count - 1 }, () => inside)])
    if (at > 2) await rename(join(stories, id), join(stories, v7({ msecs: Date.now() - at * 37 * HOUR_MS })))
  }
  return server.url
}

t.test('the gallery, light and dark, on a phone, a tablet and a desktop', { skip }, async (t) => {
  const url = await filled(t)
  for (const [name, width, height] of SIZES) {
    const page = await openPage(t, { viewport: { width, height }, hasTouch: name !== 'desktop' })
    await page.goto(url)
    await settled(page)
    t.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is too wide')
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      await calm(page)
      await screenshot(page, `gallery-${colorScheme}-${name}`)
      await isAccessible(t, page, `${name}, ${colorScheme}`)
    }
    await page.locator('a.cover').nth(2).click()
    await page
      .locator('.pswp--ui-visible img.pswp__img')
      .first()
      .evaluate((image: HTMLImageElement) => image.decode())
    await settled(page)
    await screenshot(page, `viewer-${name}`)
    await isAccessible(t, page, `viewer on ${name}, which is dark for everybody`)
    await page.context().close()
  }
  if (WRITE_SCREENSHOTS) {
    for (const [name, target] of [
      ['gallery-light-desktop', 'gallery'],
      ['gallery-dark-phone', 'gallery-phone'],
      ['viewer-desktop', 'gallery-viewer'],
    ]) {
      const file = join(DOCS, `${target}.webp`)
      await sharp(join(screenshotFolder(), `${name}.png`))
        .webp({ quality: 82 })
        .toFile(file)
      t.ok((await stat(file)).size < 300_000, `${target} is small enough`)
    }
  }
})
