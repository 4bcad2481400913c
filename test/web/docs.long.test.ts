import t from 'tap'
import { get } from '../acceptance/client.ts'
import { diskStore, serverOn } from '../acceptance/stores.ts'
import { skipWithoutChromium as skip } from '../support/chromium.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { openDocs, tryUpload } from './swagger.ts'

let started: Promise<ServerProcess> | undefined
const openServer = () => {
  started ??= diskStore(t).then((store) => serverOn(t, store))
  return started
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

t.test('a link leads to one operation, also with a slash after the path', { skip }, async (t) => {
  const server = await openServer()
  const { page, wrong } = await openDocs(t, `${server.url}/docs/#/stories/listStory`)
  const operation = page.locator('#operations-stories-listStory')
  await operation.locator('.opblock-body').waitFor()
  t.match(await operation.innerText(), /There is no story/, 'with the examples of its errors')
  await page.emulateMedia({ colorScheme: 'dark' })
  await page.locator('html.dark-mode').waitFor()
  t.same(wrong, [])
})
