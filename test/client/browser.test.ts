import { statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import t from 'tap'
import type { ApiError, Story, UploadProgress } from '../../packages/client/src/index.ts'
import { listImages } from '../acceptance/client.ts'
import { startApp } from '../support/app.ts'
import { openChromium, skipWithoutChromium as skip } from '../support/chromium.ts'
import { examplesOf, ROOT } from '../support/examples.ts'
import { sample } from '../support/extent.ts'
import { PATIENCE } from '../support/patience.ts'

const IMAGE_FILES = ['image1.jpg', 'image2.png'].map((name) =>
  fileURLToPath(new URL(`../../docs/images/${name}`, import.meta.url)),
)
const OTHER_ORIGIN = 'http://app.example'

interface Outcome {
  readonly story?: Story
  readonly refusal?: Pick<ApiError, 'name' | 'status' | 'detail'>
  readonly aborted?: string
  readonly progress: readonly UploadProgress[]
  readonly listed: readonly string[]
}

t.test('a page uploads what was picked, sees how far it is, and lists it', { skip }, async (t) => {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL('../../packages/client/src/index.ts', import.meta.url))],
    bundle: true,
    minify: true,
    format: 'iife',
    globalName: 'storyImages',
    write: false,
  })
  const script = outputFiles[0]?.text ?? ''
  t.comment(`the client has ${script.length} bytes`)
  t.ok(script.length < 20_000, 'it is small')
  const browser = await openChromium()
  for (const own of sample([false, true], 1)) {
    const server = await startApp(t, own ? {} : { CORS_ORIGINS: OTHER_ORIGIN })
    const origin = own ? server.url : OTHER_ORIGIN
    const page = await browser.newPage()
    page.setDefaultTimeout(PATIENCE)
    const html = `<!doctype html><input type="file" multiple><script>${script}</script>`
    await page.route(`${origin}/page`, (route) => route.fulfill({ contentType: 'text/html', body: html }))
    await page.goto(`${origin}/page`)
    await page.locator('input').setInputFiles(IMAGE_FILES)
    const outcome = (await page.evaluate(`(async () => {
      const client = storyImages.createClient({ baseUrl: ${JSON.stringify(own ? '' : server.url)} })
      const progress = []
      const story = await client.upload(document.querySelector('input').files, {
        onProgress: (step) => progress.push(step),
      })
      const onProgress = () => {}
      const refusal = await client.upload([new Blob(['no image'])], { onProgress }).catch((error) => error)
      const stop = new AbortController()
      const big = new Blob([new Uint8Array(20_000_000)])
      const aborted = await client
        .upload([big], { signal: stop.signal, onProgress: () => stop.abort(new Error('enough')) })
        .catch((error) => error.message)
      const listed = []
      for await (const { story_id } of client.listStories({ limit: 1 })) listed.push(story_id)
      const { name, status, detail } = refusal
      return { story, refusal: { name, status, detail }, aborted, progress, listed }
    })()`)) as Outcome
    t.equal(outcome.story?.image_count, 2, origin)
    const { loaded, total, images } = outcome.progress.at(-1) ?? { loaded: 0, total: 1 }
    t.equal(loaded, total, 'progress ends with all of it')
    t.same(
      images,
      IMAGE_FILES.map((path) => statSync(path).size),
    )
    t.same(outcome.refusal, {
      name: 'ApiError',
      status: 415,
      detail: 'File 1 is not a JPEG, PNG, GIF, WebP or AVIF image',
    })
    t.equal(outcome.aborted, 'enough')
    t.same(outcome.listed, [outcome.story?.story_id])
    t.same(
      (await listImages(server)).map(({ path }) => path),
      outcome.story?.image_paths,
    )
    await page.route('**/upload', (route) => route.fulfill({ status: 204 }))
    const empty = await page.evaluate(`storyImages.createClient({ baseUrl: '' })
      .upload([new Blob(['x'])], { onProgress() {} }).catch(({ name, status }) => [name, status])`)
    t.same(empty, ['ApiError', 204], 'a response without a body ends the upload')
    await page.close()
  }
})

t.test('the example of docs/client.md for pages uploads what is picked, and can be cancelled', { skip }, async (t) => {
  const { outputFiles } = await build({
    stdin: { contents: (await examplesOf('docs/client.md'))('browser'), resolveDir: ROOT },
    alias: { 'story-images-client': join(ROOT, 'packages/client/src/index.ts') },
    bundle: true,
    format: 'iife',
    write: false,
  })
  const server = await startApp(t)
  const page = await (await openChromium()).newPage()
  page.setDefaultTimeout(PATIENCE)
  const html = '<!doctype html><input type="file" multiple><progress value="0"></progress><button>Cancel</button>'
  const body = `${html}<script>${outputFiles[0]?.text}</script>`
  await page.route(`${server.url}/page`, (route) => route.fulfill({ contentType: 'text/html', body }))
  await page.goto(`${server.url}/page`)
  await page.locator('input').setInputFiles(IMAGE_FILES)
  await page.waitForFunction(`document.title.startsWith('Story ')`)
  const [listed] = await listImages(server)
  t.equal(await page.title(), `Story ${listed?.story_id}`)
  t.equal(await page.evaluate(`document.querySelector('progress').value`), 1)
  await page.route('**/upload', () => {})
  await page.locator('input').setInputFiles(IMAGE_FILES.slice(1))
  await page.locator('button').click()
  await page.waitForFunction(`document.title === 'Cancelled'`)
  t.equal((await listImages(server)).length, 2)
})
