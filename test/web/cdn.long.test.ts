import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { upload } from '../acceptance/client.ts'
import { landscape } from './landscapes.ts'
import { inBrowser, openPage } from './page.ts'

let upstream = ''
/** The CDN: another origin, which fetches what it is asked for from the server. */
const cdn = createServer(async ({ url, method, headers }, response) => {
  const { accept = '*/*' } = headers
  const found = await fetch(upstream + url, { method: method ?? 'GET', headers: { accept } })
  response.writeHead(found.status, Object.fromEntries(found.headers)).end(Buffer.from(await found.arrayBuffer()))
})
cdn.listen(0, '127.0.0.1')
await once(cdn, 'listening')
t.teardown(() => {
  cdn.closeAllConnections()
  cdn.close()
})
const url = `http://127.0.0.1:${(cdn.address() as AddressInfo).port}`
const PRIVATE = { PRIVATE_IMAGES: 'true', SIGNING_SECRETS: 's'.repeat(40) }

for (const [what, environment] of [
  ['public', {}],
  ['private', PRIVATE],
] as const) {
  inBrowser(
    `the gallery gets every ${what} image from the CDN`,
    async (t, server) => {
      upstream = server.url
      await upload(server, [await landscape(1, 400, 300), await landscape(2, 400, 300)])
      const page = await openPage(t)
      const asked: string[] = []
      page.on('request', (request) => void (request.url().includes('/images/stories/') && asked.push(request.url())))
      await page.goto(server.url)
      await page.locator('.tile.loaded').waitFor()
      await page.locator('a.cover').click()
      const image = page.locator('.pswp__item[aria-hidden=false] img.pswp__img:not(.pswp__img--placeholder)')
      await image.evaluate((element: HTMLImageElement) => element.decode())
      t.ok(asked.length >= 2, 'a tile and an image')
      t.same(
        asked.filter((one) => !one.startsWith(`${url}/images/stories/`)),
        [],
      )
      t.equal(
        asked.every((one) => one.includes('signature=')),
        what === 'private',
      )
    },
    { ...environment, PUBLIC_IMAGE_URL: url },
  )
}
