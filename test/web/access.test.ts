import { createHash } from 'node:crypto'
import { IMAGES, listImages, send, upload } from '../acceptance/client.ts'
import { sample } from '../support/extent.ts'
import { landscape } from './landscapes.ts'
import { clipboard, inBrowser, isAccessible, openPage } from './page.ts'

const KEYS = { admin: 'key-that-may-do-everything', reader: 'key-that-may-only-read' }
const hash = (key: string) => createHash('sha256').update(key).digest('hex')
const API_KEYS = `admin:read+write+delete+delete-all:${hash(KEYS.admin)},reader:read:${hash(KEYS.reader)}`
const ADMIN = { authorization: `Bearer ${KEYS.admin}` }

for (const [what, environment] of sample(
  [
    ['public images', { API_KEYS }],
    ['private images', { API_KEYS, PRIVATE_IMAGES: 'true', SIGNING_SECRETS: 's'.repeat(40) }],
  ] as const,
  1,
)) {
  inBrowser(
    `the gallery asks for an API key, keeps it for its tab, and shows ${what}`,
    async (t, server) => {
      await send(server, 'DELETE', IMAGES, { headers: ADMIN })
      const story = await upload(server, [await landscape(1, 400, 300), await landscape(2, 400, 300)], ADMIN)
      const page = await openPage(t, { permissions: ['clipboard-read', 'clipboard-write'] })
      const dialog = page.getByRole('dialog')
      const enter = async (key: string) => {
        await dialog.getByLabel('Key').fill(key)
        await page.keyboard.press('Enter')
      }

      await page.goto(server.url)
      await dialog.getByText('This needs an API key').waitFor()
      await isAccessible(t, page, 'key')
      await dialog.getByRole('button', { name: 'Cancel' }).click()
      await page.getByRole('heading', { name: 'The stories can’t be shown' }).waitFor()
      await isAccessible(t, page, 'without a key')
      await page.getByRole('button', { name: 'Enter an API key' }).click()
      await enter('no-such-key')
      await dialog.getByText('There is no such API key').waitFor()
      await enter(KEYS.reader)
      await page.locator('.tile.loaded').waitFor()
      await page.reload()
      await page.locator('.tile.loaded').waitFor()
      t.notOk(await dialog.isVisible(), 'it is asked for once')
      const kept = await page.evaluate(() => [Object.values(localStorage), document.cookie, location.href])
      t.notMatch(JSON.stringify(kept), KEYS.reader)

      await page.locator('a.cover').click()
      const image = page.locator('.pswp__item[aria-hidden=false] img.pswp__img:not(.pswp__img--placeholder)')
      await image.evaluate((element: HTMLImageElement) => element.decode())
      await page.getByRole('button', { name: 'Actions', exact: true }).click()
      await page.getByRole('menuitem', { name: /^Copy (signed )?image URL$/ }).click()
      await page.getByText('URL copied').waitFor()
      const copied = await fetch(await clipboard(page))
      t.equal(copied.status, 200, 'the URL that is copied needs no key')
      t.same(Buffer.from(await copied.arrayBuffer()), await landscape(1, 400, 300))
      await page.keyboard.press('Escape')
      await page.locator('.pswp').waitFor({ state: 'detached' })

      // A key that may not do it
      await page.locator('.tile .more').click()
      await page.getByRole('menuitem', { name: 'Delete story…' }).click()
      await page.getByRole('button', { name: 'Delete story' }).click()
      await dialog.getByText('This API key does not have the scope "delete"').waitFor()
      await dialog.getByRole('button', { name: 'Cancel' }).click()
      await page.getByText(/^The story was not deleted\./).waitFor()

      // What the tile of a private image needs may fail once
      await page.route('**/api/v1/signed-urls', (route) => route.fulfill({ status: 503, body: '{}' }), { times: 1 })
      const files = [{ name: 'a.jpg', mimeType: 'image/jpeg', buffer: await landscape(3, 400, 300) }]
      await page.locator('#files').setInputFiles(files)
      await dialog.getByText('This API key does not have the scope "write"').waitFor()
      await enter(KEYS.admin)
      await page.locator('.upload[data-state=done]').waitFor()
      await page.locator('.tile.loaded').nth(1).waitFor()
      await page.getByRole('button', { name: 'API key' }).click()
      await dialog.getByRole('button', { name: 'Forget key' }).click()
      await dialog.getByText('This needs an API key.').waitFor()
      t.same(await page.evaluate(() => Object.values(sessionStorage)), [], 'a key is forgotten')

      const response = await send(server, 'GET', `${IMAGES}/story-ids`, { headers: ADMIN })
      t.equal(response.json<string[]>().length, 2)
      t.equal(response.json<string[]>()[0], story.story_id)
    },
    environment,
  )
}

inBrowser('a server that is out of reach is told, and tried again, also without storage', async (t, server) => {
  await upload(server, [await landscape(1, 400, 300)])
  const page = await openPage(t, {}, /Failed to load resource/)
  // As where the browser is told to keep nothing
  await page.addInitScript(() => {
    const get = () => {
      throw new DOMException('The operation is insecure.', 'SecurityError')
    }
    for (const name of ['localStorage', 'sessionStorage']) Object.defineProperty(self, name, { get })
  })
  await page.route('**/api/v1/images?*', (route) => route.abort('connectionrefused'))
  await page.goto(server.url)
  await page.getByText('The server can’t be reached.').waitFor()
  await isAccessible(t, page, 'out of reach')
  await page.unroute('**/api/v1/images?*')
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.locator('.tile.loaded').waitFor()
  await page.waitForFunction(() => document.activeElement?.id === 'stories')
  await page.getByRole('button', { name: 'Dark appearance', pressed: false }).click()
  await page.getByRole('button', { name: 'Dark appearance', pressed: true }).waitFor()
  t.equal((await listImages(server)).length, 1)
})
