import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { get, isError, send } from '../acceptance/client.ts'
import { diskStore, serverOn } from '../acceptance/stores.ts'
import { openChromium, skipWithoutChromium as skip } from '../support/chromium.ts'
import { PATIENCE } from '../support/patience.ts'
import type { ServerProcess } from '../support/server-process.ts'

const IMAGES = ['image1.jpg', 'image2.png'].map((name) =>
  fileURLToPath(new URL(`../../docs/images/${name}`, import.meta.url)),
)
const KEY = 'a-key-that-may-write-and-nothing-else'

let started: Promise<ServerProcess> | undefined
const openServer = () => {
  started ??= diskStore(t).then((store) => serverOn(t, store))
  return started
}

interface Watched {
  readonly page: Page
  /** What the console says is wrong, and requests for another server. */
  readonly wrong: string[]
}

async function openDocs(t: Test, url: string): Promise<Watched> {
  const page = await (await openChromium()).newPage()
  page.setDefaultTimeout(PATIENCE)
  t.teardown(() => page.close())
  const wrong: string[] = []
  page.on('console', (message) => {
    const isKnown = message.text() === 'Could not find component: JsonSchema_string_binary'
    if (['error', 'warning'].includes(message.type()) && !isKnown) wrong.push(message.text())
  })
  page.on('pageerror', (error) => wrong.push(error.message))
  page.on('request', (request) => {
    if (!request.url().startsWith(new URL(url).origin) && !/^(data|blob):/.test(request.url())) {
      wrong.push(`a request for ${request.url()}`)
    }
  })
  await page.goto(url)
  return { page, wrong }
}

/** Sends two images with the form of the page. */
async function tryUpload(page: Page): Promise<{ status: string; body: string }> {
  const operation = page.locator('#operations-stories-uploadStory')
  if ((await operation.locator('.opblock-body').count()) === 0) await operation.locator('.opblock-summary').click()
  await operation.getByRole('button', { name: 'Try it out' }).click()
  // There is one field at first
  await operation.getByRole('button', { name: 'Add string item' }).click()
  for (const [index, image] of IMAGES.entries()) {
    await operation.locator('input[type=file]').nth(index).setInputFiles(image)
  }
  await operation.getByRole('button', { name: 'Execute' }).click()
  const answer = operation.locator('.live-responses-table .response')
  return {
    status: await answer.locator('.response-col_status').innerText(),
    body: await answer.locator('.response-col_description .highlight-code').innerText(),
  }
}

t.test('the page sends an upload of two images, and shows the new story', { skip }, async (t) => {
  const server = await openServer()
  const { page, wrong } = await openDocs(t, `${server.url}/docs`)
  const { status, body } = await tryUpload(page)
  t.match(status, /^200/)
  t.match(body, /"image_count": 2/)
  const paths = body.match(/\/images\/stories\/[\w-]+\/\d\.(jpg|png)/g) ?? []
  t.equal(paths.length, 2)
  t.equal((await get(server, paths[1] ?? '')).status, 200, 'the second image is there')
  t.same(wrong, [], 'nothing is refused by the policy, and nobody else is asked')
})

t.test('a link leads to one operation, also with a slash behind the path', { skip }, async (t) => {
  const server = await openServer()
  const { page, wrong } = await openDocs(t, `${server.url}/docs/#/stories/listStory`)
  const operation = page.locator('#operations-stories-listStory')
  await operation.locator('.opblock-body').waitFor()
  t.match(await operation.innerText(), /There is no story/, 'with the examples of its errors')
  await page.emulateMedia({ colorScheme: 'dark' })
  await page.locator('html.dark-mode').waitFor()
  t.same(wrong, [])
})

t.test('where there are keys, Authorize takes one', { skip }, async (t) => {
  const server = await serverOn(t, await diskStore(t), {
    API_KEYS: `docs:write:${createHash('sha256').update(KEY).digest('hex')}`,
  })
  const { page, wrong } = await openDocs(t, `${server.url}/docs`)
  t.match((await tryUpload(page)).status, /^401/)
  wrong.length = 0
  await page.locator('.auth-wrapper .authorize').first().click()
  const dialog = page.locator('.dialog-ux')
  await dialog.locator('#auth-bearer-value').fill(KEY)
  await dialog
    .locator('.auth-container', { hasText: 'bearer' })
    .getByRole('button', { name: 'Apply credentials' })
    .click()
  await dialog.getByRole('button', { name: 'Close' }).first().click()
  const operation = page.locator('#operations-stories-uploadStory')
  await operation.getByRole('button', { name: 'Execute' }).click()
  await operation.locator('.live-responses-table', { hasText: '"image_count": 2' }).waitFor()
  t.same(wrong, [])
})

t.test('the files of the page are cached until they change, and others are not there', async (t) => {
  const server = await openServer()
  const script = await get(server, '/docs/swagger-ui-bundle.js', { 'accept-encoding': 'gzip' })
  t.match(script.headers, { 'content-encoding': 'gzip', vary: 'accept-encoding', 'x-content-type-options': 'nosniff' })
  const same = await get(server, '/docs/swagger-ui-bundle.js', {
    'accept-encoding': 'gzip',
    'if-none-match': script.headers.etag,
  })
  t.equal(same.status, 304)
  t.equal((await send(server, 'HEAD', '/docs')).headers['content-type'], 'text/html; charset=utf-8')
  t.notMatch((await get(server, '/docs')).headers['content-security-policy'], /unsafe/)
  isError(t, await get(server, '/docs/swagger-ui.js'), 404, /no route/)
  isError(t, await get(server, '/docs/%2e%2e/index.html'), 404, /no route/)
  isError(t, await send(server, 'POST', '/docs'), 405, /only GET and HEAD/)
})
