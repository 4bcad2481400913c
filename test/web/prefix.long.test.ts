import t from 'tap'
import { createClient } from '../../packages/client/src/index.ts'
import { runCommand } from '../acceptance/command.ts'
import { diskStore, serverOn } from '../acceptance/stores.ts'
import { isInstalled, PROXIES, startProxy } from '../refusals/proxies.ts'
import { skipWithoutChromium } from '../support/chromium.ts'
import { examplesOf } from '../support/examples.ts'
import { makeImage } from '../support/images.ts'
import { openPage } from './page.ts'

const NGINX = PROXIES.find(({ name }) => name === 'nginx')
const CHANGES = {
  'location / {': 'location /pictures/ {',
  'proxy_pass http://story_images;': 'proxy_pass http://story_images/;',
}
const skip =
  (!process.env.CI && !isInstalled({ program: 'nginx' }) && 'nginx is not installed (apt-get install nginx-light)') ||
  skipWithoutChromium

t.test('behind a prefix of nginx everything works', { skip }, async (t) => {
  const example = await examplesOf('docs/deployment.md')
  t.equal(example('nginx-prefix'), `  ${Object.values(CHANGES).join('\n    ')}\n`, 'the guide has the same lines')
  const server = await serverOn(t, await diskStore(t))
  const proxy = {
    name: 'nginx',
    command: (folder: string, example: (changes?: Record<string, string>) => string, port: number) =>
      NGINX?.command(
        folder,
        // Browsers name the port here, and the server compares it
        (changes) => example({ ...changes, ...CHANGES, 'Host $host;': 'Host $http_host;' }),
        port,
      ) ?? [],
  }
  const port = await startProxy(t, proxy, server.port, '/pictures/livez')
  const url = `http://127.0.0.1:${port}/pictures`
  const images = [await makeImage({ type: 'jpg' }), await makeImage({ type: 'png' })]

  await t.test('the client and the command line', async (t) => {
    const client = createClient({ baseUrl: url })
    for (let n = 0; n < 3; n++) await client.upload(images.map((image) => new Blob([new Uint8Array(image)])))
    const stories = []
    for await (const story of client.listStories({ limit: 1 })) stories.push(story)
    t.equal(stories.length, 3, 'page after page')
    const { stdout } = await runCommand('ls', [stories[0]?.story_id ?? ''], { STORY_IMAGES_SERVER: url })
    const [first = ''] = stdout.match(/http:\S+/) ?? []
    t.ok(first.startsWith(`${url}/images/`))
    t.same(Buffer.from(await (await fetch(first)).arrayBuffer()), images[0])
  })

  await t.test('Link headers', async (t) => {
    const ids: string[] = []
    for (let next: string | undefined = `${url}/api/v1/images/story-ids?limit=2`; next; ) {
      const response: Response = await fetch(next)
      t.equal(response.status, 200)
      ids.push(...((await response.json()) as string[]))
      const link: string | undefined = /^<([^>]*)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
      next = link && new URL(link, response.url).href
    }
    t.equal(ids.length, 3)
  })

  await t.test('the OpenAPI document', async (t) => {
    const response = await fetch(`${url}/openapi.json`)
    const { servers } = (await response.json()) as { servers: { url: string }[] }
    t.equal(new URL(servers[0]?.url ?? '', response.url).href, `${url}/`)
  })

  await t.test('the gallery', async (t) => {
    const page = await openPage(t, { permissions: ['clipboard-read', 'clipboard-write'] })
    const elsewhere: string[] = []
    page.on('request', (request) => {
      if (!request.url().startsWith(`${url}/`) && !request.url().startsWith('blob:')) elsewhere.push(request.url())
    })
    await page.goto(`${url}/`)
    await page.locator('.tile.loaded').nth(2).waitFor()
    await page.locator('#files').setInputFiles([
      { name: '1.jpg', mimeType: 'image/jpeg', buffer: images[0] as Buffer },
      { name: '2.png', mimeType: 'image/png', buffer: images[1] as Buffer },
    ])
    await page.locator('.upload[data-state=done]').waitFor()
    await page.locator('.tile.loaded').nth(3).waitFor()
    await page.locator('a.cover').first().click()
    await page.locator('.pswp__img').first().waitFor()
    await page.getByRole('button', { name: 'Actions', exact: true }).click()
    const original = await page.getByRole('menuitem', { name: 'Open the original' }).getAttribute('href')
    t.ok(original?.startsWith(`${url}/images/`), original ?? '')
    await page.getByRole('menuitem', { name: 'Delete' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    await page.waitForFunction(() => document.querySelectorAll('.tile').length === 3)
    t.same(elsewhere, [], 'nothing is asked for without the prefix')
  })

  await t.test('the page of the API', async (t) => {
    const page = await openPage(t)
    for (const path of ['/docs', '/docs/']) {
      await page.goto(`${url}${path}#/stories/listStoryIds`)
      const operation = page.locator('#operations-stories-listStoryIds')
      await operation.getByRole('button', { name: 'Try it out' }).click()
      await operation.getByRole('button', { name: 'Execute' }).click()
      await operation.locator('.live-responses-table .response-col_status', { hasText: '200' }).waitFor()
      t.match(await operation.locator('.request-url').innerText(), `${url}/api/v1/images/story-ids`)
    }
  })
})

const caddy = PROXIES.find(({ name }) => name === 'caddy')
const noCaddy =
  !process.env.CI && !isInstalled({ program: 'caddy' }) && 'caddy is not installed (apt-get install caddy)'

t.test('Caddy strips a prefix as the guide says', { skip: noCaddy }, async (t) => {
  const server = await serverOn(t, await diskStore(t))
  // With the example of that name
  const proxy = { name: 'caddy-prefix', command: caddy?.command ?? (() => []) }
  const port = await startProxy(t, proxy, server.port, '/pictures/livez')
  const gallery = await fetch(`http://127.0.0.1:${port}/pictures`)
  t.equal(gallery.url, `http://127.0.0.1:${port}/pictures/`)
  const [, script = ''] = /src="(assets\/main[^"]+)"/.exec(await gallery.text()) ?? []
  t.equal((await fetch(new URL(script, gallery.url))).status, 200)
})
