import { inBrowser, openPage } from './page.ts'
import { shown, story, viewer } from './viewer.ts'

inBrowser('names that are not language tags are ignored', async (t, server) => {
  await story(server, 1)
  const page = await openPage(t)
  await page.addInitScript(() => {
    Object.defineProperty(navigator, 'languages', { value: ['C', 'en-US@posix', 'de-DE'] })
  })
  await page.goto(server.url)
  await page.locator('.tile.loaded').waitFor()
  t.match(
    await page.locator('time').first().getAttribute('title'),
    /^\d+\. \p{L}+ \d{4} um /u,
    'and the next one is used',
  )
})

inBrowser('a thumbnail that the server was too busy for is requested again', async (t, server) => {
  await story(server, 1)
  const page = await openPage(t)
  let requests = 0
  await page.route('**/images/stories/**', (route) => {
    requests += 1
    return requests === 1 ? route.fulfill({ status: 503, body: '{}' }) : route.continue()
  })
  await page.goto(server.url)
  await page.locator('.tile.loaded').waitFor()
  t.equal(requests, 2)
})

inBrowser('a story that opens late does not replace one that was opened after it', async (t, server) => {
  const { story_id: id, image_paths: paths } = await story(server, 1, 2)
  const other = await story(server, 3)
  const page = await openPage(t)
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  await page.route(`**${paths[1]}`, async (route) => {
    await held
    await route.continue()
  })
  await page.goto(`${server.url}/#${id}/2`)
  await page.evaluate((hash) => location.assign(hash), `#${other.story_id}`)
  await shown(page, other.image_paths[0] ?? '')
  const late = page.waitForResponse(server.url + paths[1])
  release()
  await late
  await page.waitForTimeout(300)
  t.equal(await viewer(page).count(), 1)
})

inBrowser(
  'covers are not cropped by the server if none of its sizes has their shape',
  async (t, server) => {
    const { image_paths } = await story(server, 1)
    const page = await openPage(t)
    await page.goto(server.url)
    const image = page.locator('.tile.loaded .cover img')
    const source = await image.evaluate((image: HTMLImageElement) => image.currentSrc)
    t.match(source, new RegExp(`${image_paths[0]}\\?w=(320|640)&format=auto$`))
  },
  { VARIANT_SIZES: '320,640,320x320' },
)
