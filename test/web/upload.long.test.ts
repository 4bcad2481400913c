import { truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inBrowser, isAccessible } from './page.ts'
import { button, done, jpeg, open, pick, state, storyCount, UPLOADS } from './uploads.ts'

inBrowser('an upload waits as long as the server asks, or until its owner does not want to wait', async (t, server) => {
  const page = await open(t, server)
  let requests = 0
  await page.route(UPLOADS, (route) => {
    requests += 1
    if (requests > 1) return route.continue()
    const headers = { 'retry-after': '300', 'content-type': 'application/json' }
    return route.fulfill({ status: 507, headers, body: '{"detail":"The image store is full"}' })
  })
  await pick(page, [await jpeg('a.jpg', 1)])
  await state(page, /^The image store is full\. Next try in \d+ s\.$/).waitFor()
  await isAccessible(t, page, 'waiting for the next try')
  await button(page, 'Try now').click()
  await done(page)
  t.equal(await storyCount(server), 1)
})

inBrowser('an upload goes on when the device is online again', async (t, server) => {
  const page = await open(t, server, /Failed to load resource: net::ERR_INTERNET_DISCONNECTED/)
  await page.context().setOffline(true)
  await pick(page, [await jpeg('a.jpg', 1)])
  await state(page, /^This device is offline\. Next try in/).waitFor()
  await page.context().setOffline(false)
  await done(page)
  t.equal(await storyCount(server), 1)
})

inBrowser('a file that has changed since it was chosen is named, and is not sent again', async (t, server) => {
  const page = await open(t, server, /net::ERR_UPLOAD_FILE_CHANGED/)
  const file = await jpeg('changed.jpg', 1)
  const path = join(t.testdir({}), file.name)
  await writeFile(path, file.buffer)
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  await page.route(UPLOADS, (route) => held.then(() => route.continue()), { times: 1 })
  await pick(page, [await jpeg('first.jpg', 2)])
  await page.locator('#files').setInputFiles([path])
  await state(page, 'Waiting for its turn').waitFor()
  await truncate(path, 1000)
  release()
  const bad = page.locator('.file.bad')
  await bad.waitFor()
  t.equal(await bad.locator('.name').textContent(), 'changed.jpg')
  t.match(await bad.locator('.note').textContent(), /^Can’t be read: it was moved or changed/)
  t.equal(await storyCount(server), 1)
})
