import type { Page } from 'playwright-core'
import { listImages, until } from '../acceptance/client.ts'
import { bigImage, NOT_IMAGES } from '../support/images.ts'
import { landscape } from './landscapes.ts'
import { inBrowser, isAccessible, screenshot } from './page.ts'
import { button, done, jpeg, open, pick, state, storyCount, UPLOADS } from './uploads.ts'

/** Limits the upload speed, in bytes per second. */
async function slowUplink(page: Page, uploadThroughput: number): Promise<void> {
  const session = await page.context().newCDPSession(page)
  await session.send('Network.emulateNetworkConditions', {
    offline: false,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput,
  })
}

/** Collects the texts that an element has from now on, also those that nobody could read in time. */
async function textsOf(page: Page, selector: string): Promise<() => Promise<string[]>> {
  const texts = await page.evaluateHandle((selector) => {
    const texts: string[] = []
    const look = () => texts.push(document.querySelector(selector)?.textContent ?? '')
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true })
    return texts
  }, selector)
  return () => texts.jsonValue()
}

inBrowser('files that are picked become one story, which is the first one then', async (t, server) => {
  const page = await open(t, server)
  await page.getByRole('heading', { name: 'No stories yet' }).waitFor()
  t.match(
    await page.locator('#files').getAttribute('accept'),
    /^image\/jpeg,/,
    'phones convert HEIC for whom JPEG is first',
  )
  const chooser = page.waitForEvent('filechooser')
  await page.getByRole('button', { name: 'New story' }).click()
  await (await chooser).setFiles([
    await jpeg('page-10.jpg', 3),
    await jpeg('page-2.jpg', 2),
    await jpeg('page-1.jpg', 1),
  ])
  await done(page)
  t.same(await page.locator('.file .name').allTextContents(), ['page-1.jpg', 'page-2.jpg', 'page-10.jpg'])
  await pick(page, [await jpeg('a.jpg', 4)])
  await page.locator('.tile').nth(1).waitFor()
  const newest = await page.locator('a.cover').first().getAttribute('href')
  await page.locator('.tile.loaded').nth(1).waitFor()

  const images = await listImages(server)
  t.equal(images.length, 4)
  t.equal(newest, `#${images[3]?.story_id}`, 'without a reload')
  const stored = await fetch(server.url + images[1]?.path)
  t.same(
    Buffer.from(await stored.arrayBuffer()),
    await landscape(2, 400, 300),
    'in the order of the names, byte by byte',
  )
  await page.locator('#announcer', { hasText: 'Story of 1 image uploaded' }).waitFor({ state: 'attached' })
  await isAccessible(t, page, 'uploaded')
  await button(page, 'View story').first().click()
  await page.locator('.pswp--open').waitFor()
})

inBrowser('files that are dropped or pasted become stories', async (t, server) => {
  const page = await open(t, server)
  const data = await page.evaluateHandle(
    async ([first = '', second = '']) => {
      const data = new DataTransfer()
      for (const [name, base64] of [
        ['b.jpg', first],
        ['a.jpg', second],
      ] as const) {
        const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
        data.items.add(new File([bytes], name, { type: 'image/jpeg' }))
      }
      return data
    },
    [(await landscape(1, 400, 300)).toString('base64'), (await landscape(2, 400, 300)).toString('base64')],
  )
  await page.dispatchEvent('main', 'dragenter', { dataTransfer: data })
  await page.getByText('Drop to make a new story').waitFor()
  await page.dispatchEvent('main', 'dragover', { dataTransfer: data })
  await page.dispatchEvent('main', 'drop', { dataTransfer: data })
  await done(page)
  t.notOk(await page.locator('#drop').isVisible())
  t.equal((await listImages(server)).length, 2)

  await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
  await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(60, 40)
    canvas.getContext('2d')?.fillRect(0, 0, 30, 40)
    await navigator.clipboard.write([new ClipboardItem({ 'image/png': await canvas.convertToBlob() })])
  })
  await page.keyboard.press('Control+V')
  await until('there is another story', async () => (await storyCount(server)) === 2)
  t.match((await listImages(server)).at(-1)?.path, /\/1\.png$/)
})

inBrowser(
  'a bar for each file and one for the story show what was sent, and cancelling leaves nothing',
  async (t, server) => {
    const page = await open(t, server)
    // The second file is under way for more than a minute, so that a busy machine sees it
    const sizes = [600_000, 12_000_000, 600_000]
    const files = await Promise.all(
      sizes.map(async (size, at) => ({ name: `${at}.png`, mimeType: 'image/png', buffer: await bigImage(size) })),
    )
    await slowUplink(page, 150_000)
    await pick(page, files)
    const values = () =>
      page.locator('.upload progress').evaluateAll((bars) => bars.map((bar) => (bar as HTMLProgressElement).value))
    const seen: number[][] = []
    await until('the second file is under way', async () => {
      seen.push(await values())
      return (seen.at(-1)?.[2] ?? 0) > 0.05
    })
    const [story = 0, first, second = 0, third] = seen.at(-1) ?? []
    t.equal(first, 1, 'the first file is sent')
    t.equal(third, 0, 'the third file has to wait')
    t.ok(Math.abs(story - (1 + 20 * second) / 22) < 0.05, `the story is the sum of its files: ${story}`)
    for (const at of [0, 1, 2]) {
      const course = seen.map((bars) => bars[at] ?? 0)
      t.same(
        course,
        course.toSorted((a, b) => a - b),
        'no bar goes back',
      )
    }
    t.match(await page.locator('.upload .state').textContent(), /^\d+ % of 13 MiB$/)
    await isAccessible(t, page, 'uploading')
    await screenshot(page, 'uploading')
    const question = page.waitForEvent('dialog')
    await page.close({ runBeforeUnload: true })
    const dialog = await question
    t.equal(dialog.type(), 'beforeunload', 'closing the page is asked about')
    await dialog.dismiss()
    await button(page, 'Cancel').click()
    await page.locator('#tray').waitFor({ state: 'hidden' })
    await page.getByText('Upload cancelled').waitFor()
    t.same(await listImages(server), [])
  },
)

inBrowser('names of files, addresses and responses are text, whatever is in them', async (t, server) => {
  const page = await open(t, server)
  const markup = '<img src=x onerror="self.ran=1">'
  await page.goto(`${server.url}/#${encodeURIComponent(markup)}`)
  await page.route(UPLOADS, (route) => route.fulfill({ status: 400, json: { detail: `File 1 is ${markup}` } }))
  await pick(page, [await jpeg(`${markup}.jpg`, 1)])
  await page.locator('.file.bad').waitFor()
  t.equal(await page.locator('.file .name').textContent(), `${markup}.jpg`)
  t.match(await page.locator('.file .note').textContent(), markup)
  t.equal(await page.locator('img[src=x]').count(), 0)
  t.notOk(await page.evaluate(() => 'ran' in self))
})

inBrowser('an upload whose response is lost is sent again, and is one story', async (t, server) => {
  const page = await open(t, server, /Failed to load resource/)
  const keys: (string | undefined)[] = []
  await page.route(UPLOADS, async (route) => {
    keys.push(route.request().headers()['idempotency-key'])
    if (keys.length > 1) return route.continue()
    // The server has made the story, and nobody hears of it
    await route.fetch()
    await route.abort('connectionreset')
  })
  const states = await textsOf(page, '.upload .state')
  await pick(page, [await jpeg('a.jpg', 1), await jpeg('b.jpg', 2)])
  await done(page)
  t.ok((await states()).includes('The server can’t be reached. Next try in 1 s.'))
  t.equal(keys.length, 2)
  t.equal(keys[0], keys[1], 'under the same key')
  t.equal(await storyCount(server), 1)
  t.equal(await page.locator('.tile').count(), 1)
})

inBrowser('an error that another try does not heal is not tried again by itself', async (t, server) => {
  const page = await open(t, server, /status of (400|500)/)
  const responses = [
    { status: 500, json: { detail: 'The image store failed to do this' } },
    // Of a network that wants a login first
    { status: 200, contentType: 'text/html', body: '<h1>Welcome</h1>' },
    { status: 400, json: { detail: 'The multipart body is broken' } },
  ]
  let requests = 0
  await page.route(UPLOADS, (route) => {
    const response = responses[requests]
    requests += 1
    return route.fulfill(response)
  })
  await pick(page, [await jpeg('a.jpg', 1)])
  await page.locator('.upload[data-state=failed]').waitFor()
  t.equal(await page.locator('.upload .state').textContent(), 'The image store failed to do this.')
  await isAccessible(t, page, 'failed')
  await new Promise((resolve) => setTimeout(resolve, 1500))
  t.equal(requests, 1)
  await button(page, 'Try again').click()
  await state(page, 'The response is not from story-images.').waitFor()
  await button(page, 'Try again').click()
  await state(page, 'The multipart body is broken.').waitFor()
  await button(page, 'Dismiss').waitFor()
  t.notOk(await button(page, 'Try again').isVisible(), 'nor does anybody who asks for it heal this')
  t.equal(await storyCount(server), 0)
})

inBrowser(
  'what can not be uploaded is told at its file, and the others can go without it',
  async (t, server) => {
    const page = await open(t, server)
    await pick(page, [
      await jpeg('1 good.jpg', 1),
      { name: '2 phone.heic', mimeType: 'image/heic', buffer: NOT_IMAGES.heic },
      { name: '3 drawing.svg', mimeType: 'image/svg+xml', buffer: NOT_IMAGES.svg },
      { name: '4 notes.jpg', mimeType: 'image/jpeg', buffer: NOT_IMAGES.text },
      { name: '5 huge.png', mimeType: 'image/png', buffer: await bigImage(300_000) },
      { name: '6 empty.jpg', mimeType: 'image/jpeg', buffer: Buffer.alloc(0) },
    ])
    await state(page, '5 of 6 can’t be uploaded.').waitFor()
    t.same(await page.locator('.file.bad .note').allTextContents(), [
      'A HEIC image, which browsers can’t show: save it as JPEG',
      'An SVG drawing, which can run scripts: save it as PNG or WebP',
      'Not a JPEG, PNG, GIF, WebP or AVIF image',
      'Larger than 256 KiB, the limit for one file',
      'Empty',
    ])
    t.same(await listImages(server), [], 'nothing was sent')
    await isAccessible(t, page, 'blocked')
    await screenshot(page, 'refused')
    await button(page, 'Upload the other one').click()
    await done(page)
    t.equal((await listImages(server)).length, 1)
    await button(page, 'Dismiss').click()

    // A header that only the server looks into
    const broken = Buffer.concat([(await landscape(5, 400, 300)).subarray(0, 20), Buffer.alloc(400)])
    await pick(page, [await jpeg('a.jpg', 1), { name: 'b.jpg', mimeType: 'image/jpeg', buffer: broken }])
    await page.locator('.file.bad').waitFor()
    t.equal(await page.locator('.file.bad .name').textContent(), 'b.jpg')
    t.match(
      await page.locator('.file.bad .note').textContent(),
      /^Starts like an image\/jpeg, but its width and height/,
    )
    t.equal((await listImages(server)).length, 1)
    await button(page, 'Dismiss').click()

    await pick(page, await Promise.all([1, 2, 3, 4, 5, 6, 7].map((seed) => jpeg(`${seed}.jpg`, seed))))
    await state(page, 'A story has at most 6 images; choose fewer.').waitFor()
  },
  { MAX_FILE_SIZE: '256KiB', MAX_FILES: '6' },
)
