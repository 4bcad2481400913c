import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { smallImage, startApp } from '../support/app.ts'
import { EVIL, openChromium, skipWithoutChromium as skip } from '../support/chromium.ts'
import { sample } from '../support/extent.ts'
import { PATIENCE } from '../support/patience.ts'

/** A server with a story, and a browser that shows a page whose host name is another one. */
async function attacked(t: Test, options: Record<string, string> = {}) {
  const server = await startApp(t, { ALLOWED_HOSTS: '', ...options })
  const form = new FormData()
  form.append('files', new Blob([new Uint8Array(await smallImage())]), 'a.png')
  const response = await fetch(`${server.url}/api/v1/images/upload`, { method: 'POST', body: form })
  t.equal(response.status, 200)
  const site = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html').end('<!doctype html><title>A page</title><body></body>')
  }).listen(0, '127.0.0.1')
  await once(site, 'listening')
  t.teardown(() => {
    site.closeAllConnections()
    site.close()
  })
  const page = await (await openChromium()).newPage()
  t.teardown(() => page.close())
  page.setDefaultTimeout(PATIENCE)
  // What the compiler of the tests makes of functions calls this
  await page.addInitScript('self.__name = (value) => value')
  const stories = async () => {
    const ids = await fetch(`${server.url}/api/v1/images/story-ids`)
    return ((await ids.json()) as string[]).length
  }
  return { server, page, stories, sitePort: (site.address() as AddressInfo).port }
}

/** What a script of the page gets: a status, or an error. */
const ask = (page: Page, url: string, method: string, mode: 'cors' | 'no-cors' = 'cors') =>
  page.evaluate(
    async ({ url, method, mode }) => {
      const form = new FormData()
      form.append('files', new Blob(['x']), 'a.png')
      try {
        const response = await fetch(url, { method, mode, ...(method === 'POST' && { body: form }) })
        return `${response.status} ${await response.text()}`
      } catch (error) {
        return String(error)
      }
    },
    { url, method, mode },
  )

t.test('a page whose host name was led to the server can neither list, nor delete, nor upload', { skip }, async (t) => {
  const { server, page, stories } = await attacked(t)
  const origin = `http://${EVIL}:${server.port}`
  // For the browser this page is of the same origin as the server
  await page.route(`${origin}/page.html`, (route) => route.fulfill({ contentType: 'text/html', body: '<body></body>' }))
  await page.goto(`${origin}/page.html`)
  for (const [method, path] of [
    ['GET', '/api/v1/images'],
    ['GET', '/api/v1/images/story-ids'],
    ['GET', '/metrics'],
    ['POST', '/api/v1/images/upload'],
    ['DELETE', '/api/v1/images'],
  ] as const) {
    t.match(
      await ask(page, path, method),
      /^421 \{"detail":"This server does not answer to the host name/,
      `${method} ${path}`,
    )
  }
  const shown = await page.goto(`${origin}/`)
  t.equal(shown?.status(), 421, 'nor is there the gallery')
  t.equal(await stories(), 1)
})

t.test('a page of another site can not upload or delete, by script or by form', { skip }, async (t) => {
  const { server, page, stories, sitePort } = await attacked(t)
  const upload = `${server.url}/api/v1/images/upload`
  for (const name of sample(['127.0.0.1', 'localhost', EVIL], 1)) {
    await page.goto(`http://${name}:${sitePort}/`)
    const sent: number[] = []
    page.on('response', (response) => void (response.url() === upload && sent.push(response.status())))
    t.match(await ask(page, upload, 'POST'), /TypeError/, `${name}: a script reads no answer`)
    await ask(page, upload, 'POST', 'no-cors')
    t.match(await ask(page, `${server.url}/api/v1/images`, 'DELETE'), /TypeError/, `${name}: no preflight is answered`)
    const shown = page.waitForEvent('response', (response) => response.url() === upload)
    await page.evaluate((action) => {
      document.body.innerHTML = `<form method="post" enctype="multipart/form-data" action="${action}">
        <input type="file" name="files"></form>`
      const chosen = new DataTransfer()
      chosen.items.add(new File(['x'], 'a.png', { type: 'image/png' }))
      const [input] = document.getElementsByTagName('input')
      if (input) input.files = chosen.files
      document.forms[0]?.submit()
    }, upload)
    t.equal((await shown).status(), 403, `${name}: a form is refused`)
    await page.waitForURL(upload)
    t.ok(sent.length >= 1 && sent.every((status) => status === 403), `${name}: so is what a script has sent: ${sent}`)
    page.removeAllListeners('response')
  }
  t.equal(await stories(), 1)
})

t.test('a frame without an origin of its own can not upload either', { skip }, async (t) => {
  const { server, page, stories, sitePort } = await attacked(t)
  const upload = `${server.url}/api/v1/images/upload`
  await page.goto(`http://127.0.0.1:${sitePort}/`)
  const answered = new Promise((resolve) => {
    server.app.server.on('request', (request, response) => {
      response.on('close', () => resolve([request.method, request.headers.origin, response.statusCode]))
    })
  })
  await page.evaluate((url) => {
    const frame = document.createElement('iframe')
    frame.sandbox.add('allow-scripts')
    frame.srcdoc = `<script>fetch("${url}", { method: "POST", mode: "no-cors", body: new FormData() })</script>`
    document.body.append(frame)
  }, upload)
  t.same(await answered, ['POST', 'null', 403])
  t.equal(await stories(), 1)
})
