import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { IMAGES, post, type Uploaded } from '../acceptance/client.ts'
import { diskStore, serverOn } from '../acceptance/stores.ts'
import { openChromium, skipWithoutChromium as skip } from '../support/chromium.ts'
import { sample } from '../support/extent.ts'
import { PATIENCE } from '../support/patience.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { type Polyglot, PWNED, polyglots } from './polyglots.ts'

interface Served extends Polyglot {
  readonly url: string
}

interface Fixture {
  readonly server: ServerProcess
  readonly browser: Browser
  readonly served: readonly Served[]
}

let opened: Promise<Fixture> | undefined
const fixture = () => {
  opened ??= open()
  return opened
}

async function open(): Promise<Fixture> {
  // With all that the polyglots hide, which the default removes
  const server = await serverOn(t, await diskStore(t), { STRIP_METADATA: 'none' })
  const browser = await openChromium()
  const served: Served[] = []
  for (const polyglot of (await polyglots()).filter(({ what }) => /HTML|CSS|script/.test(what))) {
    const answer = await post(server, [{ body: polyglot.body }])
    served.push({ ...polyglot, url: server.url + (answer.json<Uploaded>().image_paths[0] ?? '') })
  }
  return { server, browser, served }
}

/** A page that remembers whatever looks like a script that ran. */
async function watchedPage(t: Test, browser: Browser): Promise<{ page: Page; traces: string[] }> {
  const page = await browser.newPage()
  page.setDefaultTimeout(PATIENCE)
  t.teardown(() => page.close())
  const traces: string[] = []
  page.on('dialog', async (dialog) => {
    traces.push(`dialog ${dialog.message()}`)
    await dialog.dismiss()
  })
  page.on('download', (download) => traces.push(`download of ${download.url()}`))
  page.on('popup', (popup) => traces.push(`popup of ${popup.url()}`))
  return { page, traces }
}

/** Whether something ran in one of the frames, or changed how the page looks. */
async function whatRan(page: Page): Promise<string[]> {
  const found = await Promise.all(
    page
      .frames()
      .map((frame) =>
        frame.evaluate(
          (name) => [
            ...(document.title === name ? [`title of ${location.href}`] : []),
            ...(name in window ? [`a script in ${location.href}`] : []),
            ...(document.body && getComputedStyle(document.body).getPropertyValue(`--${name.toLowerCase()}`) !== ''
              ? [`a style in ${location.href}`]
              : []),
          ],
          PWNED,
        ),
      ),
  )
  return found.flat()
}

/** A page of any origin, whose HTML the browser gets from us. */
async function openPage(page: Page, url: string, html: string): Promise<void> {
  await page.route(url, (route) => route.fulfill({ contentType: 'text/html', body: html }))
  await page.goto(url, { waitUntil: 'load' })
  await page.unroute(url)
}

const ELSEWHERE = 'http://attacker.example/page.html'

t.test('the browser would run these files, if it were let', { skip }, async (t) => {
  const { browser, served } = await fixture()
  const { page, traces } = await watchedPage(t, browser)
  // The same bytes as another type: the files are dangerous, and the test can see it
  for (const [what, contentType, tag] of [
    ['a GIF that is a script', 'text/javascript', 'script'],
    ['a PNG with HTML behind it', 'text/html', 'iframe'],
  ] as const) {
    const url = 'http://attacker.example/file'
    const { body } = served.find((polyglot) => polyglot.what === what) as Served
    await page.route(url, (route) => route.fulfill({ contentType, body }))
    await openPage(page, ELSEWHERE, `<body><${tag} src="${url}"></${tag}></body>`)
    t.not([...(await whatRan(page)), ...traces].length, 0, `${what} as ${contentType}`)
  }
})

t.test('a file that is opened in the browser is shown, and runs nothing', { skip }, async (t) => {
  const { browser, served } = await fixture()
  const { page, traces } = await watchedPage(t, browser)
  for (const { what, type, url } of sample(served, 1)) {
    await page.goto(url)
    const about = await page.evaluate(() => ({
      type: document.contentType,
      elements: [...document.body.querySelectorAll('*')].map((element) => element.tagName).join(),
      scripts: document.querySelectorAll('script, svg, iframe, object').length,
      origin: self.origin,
    }))
    t.same(
      about,
      { type, elements: 'IMG', scripts: 0, origin: 'null' },
      `${what} is a document of one image, in a sandbox`,
    )
    t.same([...(await whatRan(page)), ...traces], [], `${what} runs nothing`)
  }
})

t.test('no element of a page makes a file run, of this origin or of another one', { skip }, async (t) => {
  const { server, browser, served } = await fixture()
  for (const pageUrl of sample([`${server.url}/page.html`, ELSEWHERE], 1)) {
    const { page, traces } = await watchedPage(t, browser)
    const some = sample(served, 1)
    const tags = some.flatMap(({ url }) => [
      `<script src="${url}"></script>`,
      `<script type="module" src="${url}"></script>`,
      `<link rel="stylesheet" href="${url}">`,
      `<style>@import "${url}";</style>`,
      `<iframe src="${url}"></iframe>`,
      `<object data="${url}" type="text/html"></object>`,
      `<object data="${url}" type="image/svg+xml"></object>`,
      `<embed src="${url}" type="application/pdf">`,
      `<embed src="${url}" type="text/html">`,
    ])
    const answers: number[] = []
    page.on('response', (response) => void (response.url() !== pageUrl && answers.push(response.status())))
    await openPage(page, pageUrl, `<!doctype html><meta charset="latin1"><body>${tags.join('')}</body>`)
    t.same([...(await whatRan(page)), ...traces], [], `in a page of ${new URL(pageUrl).host}`)
    t.ok(answers.length >= 5 * some.length, `the browser has asked for the files, ${answers.length} times`)
    t.same([...new Set(answers)], [200], 'and has got each of them')
  }
})

t.test('no file becomes a worker, a service worker or a module', { skip }, async (t) => {
  const { server, browser, served } = await fixture()
  const { page } = await watchedPage(t, browser)
  await openPage(page, `${server.url}/page.html`, '<!doctype html><body></body>')
  for (const { what, url } of sample(
    served.filter((polyglot) => /script/.test(polyglot.what)),
    1,
  )) {
    const outcomes = await page.evaluate(
      async ({ script, patience }) => {
        const worker = (module: boolean) =>
          new Promise<string>((resolve) => {
            const made = new Worker(script, module ? { type: 'module' } : {})
            made.onerror = () => resolve('refused')
            setTimeout(() => resolve('ran'), patience)
          })
        const importing = new Blob([`try{importScripts("${script}");postMessage("ran")}catch{postMessage("refused")}`])
        const imported = new Promise<string>((resolve) => {
          new Worker(URL.createObjectURL(importing)).onmessage = ({ data }) => resolve(data)
        })
        return Promise.all([
          navigator.serviceWorker.register(script).then(
            () => 'ran',
            () => 'refused',
          ),
          import(script).then(
            () => 'ran',
            () => 'refused',
          ),
          worker(false),
          worker(true),
          imported,
        ])
      },
      { script: url, patience: PATIENCE },
    )
    t.same(outcomes, Array(5).fill('refused'), what)
    t.equal(await page.evaluate(() => navigator.serviceWorker.getRegistrations().then((all) => all.length)), 0)
  }
  t.same(await whatRan(page), [])
})

t.test('pages of any origin show these files as images', { skip }, async (t) => {
  const { browser, served: all } = await fixture()
  // The size that begins a comment is odd, and decoders take no WebP of an odd size
  const served = all.filter(({ what }) => what !== 'a WebP that is a script')
  const { page, traces } = await watchedPage(t, browser)
  await openPage(page, ELSEWHERE, `<body>${served.map(({ url }) => `<img src="${url}">`).join('')}</body>`)
  const shown = await page.evaluate(() =>
    Promise.all(
      [...document.images].map((image) =>
        image.decode().then(
          () => image.naturalWidth,
          () => 0,
        ),
      ),
    ),
  )
  for (const [index, { what }] of served.entries()) t.ok((shown[index] ?? 0) > 0, what)
  t.same([...(await whatRan(page)), ...traces], [])
})

t.test('an error that quotes the request is text, whatever is in it', { skip }, async (t) => {
  const { server, browser } = await fixture()
  const script = `<script>window.${PWNED}=1;document.title='${PWNED}'</script>`
  const image = `<img src=x onerror="window.${PWNED}=1">`
  const { page, traces } = await watchedPage(t, browser)
  const payloads = [script, image, `"}${script}`, `</pre>${image}`, `<svg/onload=window.${PWNED}=1>`]
  for (const payload of sample(payloads, 1)) {
    for (const form of sample([payload, encodeURIComponent(payload)], 1)) {
      for (const path of [
        '/',
        `${IMAGES}/`,
        '/images/stories/x/',
        `${IMAGES}?cursor=`,
        `${IMAGES}?limit=`,
        '/nothing?',
        '/nothing#',
      ]) {
        const answer = await page.goto(server.url + path + form)
        t.ok((answer?.status() ?? 0) >= 400, `${path}: an error`)
        const about = await page.evaluate(() => ({
          type: document.contentType,
          tags: document.querySelectorAll('script, svg, img[src="x"]').length,
        }))
        t.same(about, { type: 'application/json', tags: 0 }, `${path}${form}: JSON`)
        t.same([...(await whatRan(page)), ...traces], [], `${path}${form}: runs nothing`)
      }
    }
  }
})
