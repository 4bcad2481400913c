import { createHash } from 'node:crypto'
import t from 'tap'
import { get, isError, send } from '../acceptance/client.ts'
import { diskStore, serverOn } from '../acceptance/stores.ts'
import { skipWithoutChromium as skip } from '../support/chromium.ts'
import { openDocs, tryUpload } from './swagger.ts'

const KEY = 'a-key-that-may-write-and-nothing-else'

t.test('a link leads to one operation, and where there are keys, Authorize takes one', { skip }, async (t) => {
  const server = await serverOn(t, await diskStore(t), {
    API_KEYS: `docs:write:${createHash('sha256').update(KEY).digest('hex')}`,
  })
  const { page, wrong } = await openDocs(t, `${server.url}/docs/#/stories/uploadStory`)
  await page.locator('#operations-stories-uploadStory .opblock-body').waitFor()
  await page.locator('.auth-wrapper .authorize').first().click()
  const dialog = page.locator('.dialog-ux')
  await dialog.locator('#auth-bearer-value').fill(KEY)
  await dialog
    .locator('.auth-container', { hasText: 'bearer' })
    .getByRole('button', { name: 'Apply credentials' })
    .click()
  await dialog.getByRole('button', { name: 'Close' }).first().click()
  const { status, body } = await tryUpload(page)
  t.match(status, /^200/)
  t.match(body, /"image_count": 2/)
  t.same(wrong, [])
})

t.test('the files of the page are cached until they change, and others are not there', async (t) => {
  const server = await serverOn(t, await diskStore(t))
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
