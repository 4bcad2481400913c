import type { Page } from 'playwright-core'
import { get, listImages, type Uploaded } from '../acceptance/client.ts'
import { sample } from '../support/extent.ts'
import { clipboard, inBrowser, isAccessible, openPage } from './page.ts'
import { shown, story, viewer } from './viewer.ts'

const PERMISSIONS = { permissions: ['clipboard-read', 'clipboard-write'] }

inBrowser(
  'stories are shown with the newest one first, their count and date, and a crop of their first image',
  async (t, server) => {
    const first = await story(server, 1)
    const second = await story(server, 2, 3, 4)
    const page = await openPage(t)
    await page.goto(server.url)
    await page.locator('.tile.loaded').nth(1).waitFor()
    t.same(await page.locator('a.cover').evaluateAll((links) => links.map((link) => link.getAttribute('href'))), [
      `#${second.story_id}`,
      `#${first.story_id}`,
    ])
    t.match(await page.locator('a.cover').first().getAttribute('aria-label'), /^Story of 3 images, /)
    t.match(await page.locator('time').first().textContent(), /^Today, /)
    t.equal(await page.locator('.badge').first().textContent(), '3')
    t.notOk(await page.locator('.badge').nth(1).isVisible(), 'one image needs no count')
    const source = await page
      .locator('.cover img')
      .first()
      .evaluate((image: HTMLImageElement) => image.currentSrc)
    t.match(source, new RegExp(`${second.image_paths[0]}\\?w=(320&h=240|640&h=480)&format=auto$`))
    t.match((await get(server, new URL(source).pathname + new URL(source).search)).headers['content-type'], /^image\//)
    await isAccessible(t, page, 'grid')
  },
)

for (const [what, response, words] of sample(
  [
    ['a file that is missing', { status: 404, body: '' }, /^One of its files could not be loaded\.$/],
    [
      'an error of its first lines',
      { contentType: 'text/javascript', body: 'throw new Error("Not here")' },
      /^Not here$/,
    ],
  ] as const,
  1,
)) {
  inBrowser(`a page that can not start because of ${what} says so`, async (t, server) => {
    const page = await openPage(t, {}, /^Failed to load resource|Not here/)
    page.removeAllListeners('pageerror')
    await page.route('**/assets/main-*.js', (route) => route.fulfill(response))
    await page.goto(server.url)
    const notice = page.locator('#trouble')
    await notice.getByRole('heading', { name: 'The page can’t start' }).waitFor()
    t.match(await notice.locator('.detail').textContent(), words)
    await isAccessible(t, page, what)
    await page.unroute('**/assets/main-*.js')
    await story(server, 1)
    await notice.getByRole('button', { name: 'Load it again' }).click()
    await page.locator('.tile.loaded').waitFor()
    t.notOk(await notice.isVisible())
  })
}

inBrowser('a story is opened, and paged through by keyboard, mouse and touch', async (t, server) => {
  const { story_id: id, image_paths: paths } = await story(server, 1, 2, 3)
  const [one = '', two = '', three = ''] = paths
  const page = await openPage(t, { hasTouch: true })
  await page.goto(server.url)
  await page.locator('a.cover').click()
  await shown(page, one)
  t.equal(new URL(page.url()).hash, `#${id}`)
  const size = await page
    .locator(`.pswp__img[src*="${one.slice(1)}"]`)
    .first()
    .evaluate((image: HTMLElement) => image.offsetWidth / image.offsetHeight)
  t.ok(Math.abs(size - 4 / 3) < 0.02, `in its own proportions: ${size}`)
  await isAccessible(t, page, 'viewer')

  await page.keyboard.press('ArrowRight')
  await shown(page, two)
  t.equal(new URL(page.url()).hash, `#${id}/2`)
  await page.keyboard.press('End')
  await shown(page, three)
  await page.keyboard.press('Home')
  await shown(page, one)
  await page.locator('.pswp__button--arrow--next').click()
  await shown(page, two)
  t.equal(await page.locator('.pswp__counter').textContent(), '2 / 3')

  await swipe(page, -500)
  await shown(page, three)
  await page.keyboard.press('Escape')
  await viewer(page).waitFor({ state: 'detached' })
  t.equal(new URL(page.url()).hash, '')
  t.equal(
    await page.evaluate(() => document.activeElement?.getAttribute('href')),
    `#${id}`,
    'the focus is where it was',
  )
})

inBrowser('a story and an image have links, and the button of the browser goes back', async (t, server) => {
  const { story_id: id, image_paths: paths } = await story(server, 1, 2)
  const { story_id: other } = await story(server, 3)
  const page = await openPage(t)
  await page.goto(`${server.url}/#${id}/2`)
  await shown(page, paths[1] ?? '')
  await page.getByRole('button', { name: 'Close' }).click()
  await viewer(page).waitFor({ state: 'detached' })
  t.equal(page.url(), `${server.url}/`)

  await page.locator('a.cover').nth(1).click()
  await shown(page, paths[0] ?? '')
  await page.goBack()
  await viewer(page).waitFor({ state: 'detached' })
  await page.goForward()
  await shown(page, paths[0] ?? '')

  // Deleted by somebody else
  await page.goto(server.url)
  await page.locator('.tile.loaded').nth(1).waitFor()
  await fetch(`${server.url}/api/v1/images/${other}`, { method: 'DELETE' })
  await page.locator(`a[href="#${other}"]`).click()
  await page.getByText('This story does not exist any more.').waitFor()
  await page.locator(`a[href="#${other}"]`).waitFor({ state: 'detached' })
  await viewer(page).waitFor({ state: 'detached' })

  // From elsewhere: from the page itself it would be a change of the fragment alone, no new page
  await page.goto('about:blank')
  await page.goto(`${server.url}/#01a205ad-87f4-77cd-a8d8-f60e2cbf53b1`)
  await page.getByText('This story does not exist any more.').waitFor()
  t.equal(page.url(), `${server.url}/`)
})

inBrowser('the paths, the URL of an image and the link of a story are copied', async (t, server) => {
  const { story_id: id, image_paths: paths } = await story(server, 1, 2)
  const page = await openPage(t, PERMISSIONS)
  await page.goto(server.url)
  await page.locator('.tile .more').click()
  await page.locator('#menu').waitFor()
  await isAccessible(t, page, 'menu')
  await page.getByRole('menuitem', { name: 'Copy image paths' }).click()
  await page.getByText('Paths copied').waitFor()
  t.equal(await clipboard(page), paths.join('\n'))

  await page.locator('a.cover').click()
  await shown(page, paths[0] ?? '')
  for (const [item, copied] of [
    ['Copy image path', paths[0]],
    ['Copy image URL', server.url + paths[0]],
    ['Copy link to the story', `${server.url}/#${id}`],
  ] as const) {
    await page.getByRole('button', { name: 'Actions', exact: true }).click()
    await page.getByRole('menuitem', { name: item, exact: true }).click()
    await page.waitForFunction((text) => navigator.clipboard.readText().then((now) => now === text), copied)
    t.equal(await clipboard(page), copied, item)
  }
  await page.getByRole('button', { name: 'Actions', exact: true }).click()
  t.equal(await page.getByRole('menuitem', { name: 'Open the original' }).getAttribute('href'), server.url + paths[0])
  await page.keyboard.press('Escape')
  t.ok(await viewer(page).isVisible(), 'Escape closes the menu alone')
})

inBrowser('a story is deleted after a question, from the grid and from the viewer', async (t, server) => {
  const [first, second, third] = [await story(server, 1), await story(server, 2), await story(server, 3, 4)]
  const page = await openPage(t)
  await page.goto(server.url)
  const ids = async () => (await listImages(server)).map(({ story_id }) => story_id)

  await page.locator('.tile .more').first().click()
  await page.getByRole('menuitem', { name: 'Delete story…' }).click()
  await page.getByText('All of its 2 images are deleted').waitFor()
  await isAccessible(t, page, 'question')
  await page.getByRole('button', { name: 'Cancel' }).click()
  t.equal((await ids()).length, 4, 'no is no')

  await page.locator('.tile .more').first().click()
  await page.getByRole('menuitem', { name: 'Delete story…' }).click()
  await page.getByRole('button', { name: 'Delete story' }).click()
  await page.locator(`a[href="#${third.story_id}"]`).waitFor({ state: 'detached' })
  t.same(await ids(), [first.story_id, second.story_id])
  t.equal(await page.evaluate(() => document.activeElement?.getAttribute('href')), `#${second.story_id}`)

  await page.locator(`a[href="#${second.story_id}"]`).click()
  await shown(page, second.image_paths[0] ?? '')
  await page.getByRole('button', { name: 'Actions', exact: true }).click()
  await page.getByRole('menuitem', { name: 'Delete story…' }).click()
  await page.getByRole('button', { name: 'Delete story' }).click()
  await viewer(page).waitFor({ state: 'detached' })
  t.same(await ids(), [first.story_id])

  // Somebody else may be faster
  await fetch(`${server.url}/api/v1/images/${first.story_id}`, { method: 'DELETE' })
  await page.locator('.tile .more').click()
  await page.getByRole('menuitem', { name: 'Delete story…' }).click()
  await page.getByRole('button', { name: 'Delete story' }).click()
  await page.getByRole('heading', { name: 'No stories yet' }).waitFor()
  await isAccessible(t, page, 'empty')
})

inBrowser('the grid is walked through with the keyboard alone', async (t, server) => {
  const made: Uploaded[] = []
  for (const seed of [1, 2, 3]) made.unshift(await story(server, seed))
  const page = await openPage(t)
  await page.goto(server.url)
  await page.locator('a.cover').nth(2).waitFor()
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute('href'))
  for (let presses = 0; presses < 6 && (await focused()) !== `#${made[0]?.story_id}`; presses += 1) {
    await page.keyboard.press('Tab')
  }
  for (const [key, at] of [
    ['ArrowRight', 1],
    ['End', 2],
    ['ArrowLeft', 1],
    ['Home', 0],
  ] as const) {
    await page.keyboard.press(key)
    t.equal(await focused(), `#${made[at]?.story_id}`, key)
  }
  await page.keyboard.press('Enter')
  await shown(page, made[0]?.image_paths[0] ?? '')
  await page.keyboard.press('Escape')
  await viewer(page).waitFor({ state: 'detached' })
  await page.keyboard.press('Tab')
  await page.keyboard.press('Enter')
  t.equal(await page.evaluate(() => document.activeElement?.textContent), 'Copy link to the story', 'the menu is open')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Delete this story?' }).waitFor()
  t.equal(await page.evaluate(() => document.activeElement?.textContent), 'Cancel', 'what is safe has the focus')
  await page.keyboard.press('Escape')
  t.equal((await listImages(server)).length, 3)
})

/** One finger, to the side. */
async function swipe(page: Page, by: number): Promise<void> {
  const session = await page.context().newCDPSession(page)
  const touch = (type: 'touchStart' | 'touchMove' | 'touchEnd', x?: number) =>
    session.send('Input.dispatchTouchEvent', { type, touchPoints: x === undefined ? [] : [{ x, y: 400 }] })
  await touch('touchStart', 800)
  for (let step = 1; step <= 5; step += 1) await touch('touchMove', 800 + (by * step) / 5)
  await touch('touchEnd')
}
