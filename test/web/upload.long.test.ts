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
  await state(page, /^The image store is full\. Next try in (300|299) s\.$/).waitFor()
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
