import sharp from 'sharp'
import t, { type Test } from 'tap'
import type { Limits } from '../../src/app.ts'
import { isDetail, startApp, storyId, type TestApp } from '../support/app.ts'
import { listKeys, putBytes, until } from '../support/bodies.ts'
import { makeImage, NOT_IMAGES } from '../support/images.ts'
import { putOurs } from '../support/recording-store.ts'
import type { S3StandIn } from '../support/s3-stand-in.ts'
import { startStandIn } from '../support/stores.ts'

const root = t
const photo = await makeImage({ type: 'jpg', width: 400, height: 300 })
const animation = await makeImage({ type: 'gif', width: 400, height: 300, animated: true })

async function upload(server: TestApp, ...images: Buffer[]): Promise<string[]> {
  const form = new FormData()
  for (const image of images) form.append('files', new Blob([new Uint8Array(image)]), 'image')
  const answer = await fetch(`${server.url}/api/v1/images/upload`, { method: 'POST', body: form })
  return ((await answer.json()) as { image_paths: string[] }).image_paths
}

let shared: Promise<TestApp> | undefined

/** Serves images and nothing else. Tests without options share a server, and so its workers. */
async function serve(
  t: Test,
  images: Buffer[],
  options: Record<string, string> = {},
  standIn?: S3StandIn,
  limits?: Partial<Limits>,
) {
  const isShared = Object.keys(options).length === 0 && standIn === undefined
  if (isShared) shared ??= startApp(root)
  const server = await (isShared && shared ? shared : startApp(t, options, standIn, limits))
  await server.store.delete(await listKeys(server.store))
  const paths = await upload(server, ...images)
  const get = (query: string, headers: Record<string, string> = {}, method = 'GET', path = paths[0]) =>
    fetch(server.url + path + query, { method, headers })
  return { server, paths, get }
}

/** What current browsers send for an `<img>`. */
const BROWSER = 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8'

t.test('`auto` is the best format that the client names, and caches are told so', async (t) => {
  const { get, paths } = await serve(t, [photo, animation])
  for (const [accept, still, moving] of [
    [BROWSER, 'image/avif', 'image/webp'],
    ['image/avif', 'image/avif', 'image/gif'],
    ['image/webp,*/*', 'image/webp', 'image/webp'],
    ['image/avif;q=0, image/webp;q=0.5', 'image/webp', 'image/webp'],
    ['image/*,*/*;q=0.8', 'image/jpeg', 'image/gif'],
    ['*/*', 'image/jpeg', 'image/gif'],
    ['', 'image/jpeg', 'image/gif'],
    ['image/webp;q=0', 'image/jpeg', 'image/gif'],
    ['nonsense', 'image/jpeg', 'image/gif'],
  ] as const) {
    for (const [path, type] of [
      [paths[0], still],
      [paths[1], moving],
    ] as const) {
      for (const query of ['?w=160', '?w=160&format=auto']) {
        const answer = await get(query, { accept }, 'GET', path)
        t.equal(answer.status, 200)
        t.equal(answer.headers.get('content-type'), type, `${path} for ${accept}`)
        t.equal(answer.headers.get('vary'), 'Accept')
        await answer.arrayBuffer()
      }
    }
  }
})

t.test('a format that is asked for by name comes whatever is accepted', async (t) => {
  const { get } = await serve(t, [photo])
  for (const format of ['jpeg', 'webp', 'avif']) {
    const answer = await get(`?w=160&format=${format}`, { accept: 'text/html' })
    t.equal(answer.headers.get('content-type'), `image/${format}`)
    t.equal(answer.headers.get('vary'), null)
    t.equal(answer.headers.get('x-image-width'), '160')
    t.equal(answer.headers.get('x-image-height'), '120')
    await answer.arrayBuffer()
  }
})

t.test('HEAD, conditions and ranges work as they do for the image', async (t) => {
  const { get } = await serve(t, [photo])
  const head = await get('?w=160&format=webp', {}, 'HEAD')
  t.equal(head.status, 200)
  const whole = await get('?w=160&format=webp')
  const bytes = Buffer.from(await whole.arrayBuffer())
  for (const name of ['content-length', 'content-type', 'etag', 'cache-control', 'cache-tag', 'last-modified']) {
    t.equal(head.headers.get(name), whole.headers.get(name), name)
  }
  t.equal(head.headers.get('content-length'), String(bytes.length))
  const image = await get('', {}, 'HEAD')
  t.not(image.headers.get('etag'), head.headers.get('etag'))
  for (const name of [
    'cache-control',
    'cache-tag',
    'accept-ranges',
    'access-control-allow-origin',
    'cross-origin-resource-policy',
    'content-security-policy',
    'x-content-type-options',
  ]) {
    t.equal(head.headers.get(name), image.headers.get(name), name)
  }
  const etag = head.headers.get('etag') ?? ''
  for (const method of ['GET', 'HEAD']) {
    t.equal((await get('?w=160&format=webp', { 'if-none-match': etag }, method)).status, 304)
  }
  t.equal((await get('?w=160&format=jpeg', { 'if-none-match': etag })).status, 200, 'another format is another picture')
  const range = await get('?w=160&format=webp', { range: 'bytes=8-11' })
  t.equal(range.status, 206)
  t.equal(await range.text(), 'WEBP')
  t.equal((await get('?w=160&format=webp', { range: `bytes=${bytes.length}-` })).status, 416)
})

t.test('a width, size or format that there is not is refused, and nothing is made', async (t) => {
  const { server, get } = await serve(t, [photo], { VARIANT_SIZES: '100, 100x50, 200, 30x40' })
  const sizes = 'one of 100x50, 30x40'
  const widths = 'one of 100, 200'
  const formats = 'one of auto, jpeg, webp, avif'
  for (const [query, detail] of [
    ['?w=', `"w" must be ${widths}`],
    ['?w=160', `"w" must be ${widths}`],
    ['?w=100.0', `"w" must be ${widths}`],
    ['?w=%20100', `"w" must be ${widths}`],
    ['?w=100&w=200', `"w" must be ${widths}`],
    ['?w=100&format=', `"format" must be ${formats}`],
    ['?w=100&format=JPEG', `"format" must be ${formats}`],
    ['?w=100&format=plain', `"format" must be ${formats}`],
    ['?w=100&format=webp&format=avif', `"format" must be ${formats}`],
    ['?format=webp', `"format" must be sent with "w", ${widths}`],
    ['?h=50', `"h" must be sent with "w", as ${sizes}`],
    ['?h=50&format=webp', `"h" must be sent with "w", as ${sizes}`],
    ['?w=100&h=', `"h" must be sent with "w", as ${sizes}`],
    ['?w=200&h=50', `"h" must be sent with "w", as ${sizes}`],
    ['?w=100&h=40', `"h" must be sent with "w", as ${sizes}`],
    ['?w=1&h=00x50', `"h" must be sent with "w", as ${sizes}`],
    ['?w=100&h=50&h=50', `"h" must be sent with "w", as ${sizes}`],
    ['?w=100&w=100&h=50', `"h" must be sent with "w", as ${sizes}`],
    ['?w=30', `"w" must be ${widths}`],
    ['?w=30x40', `"w" must be ${widths}`],
    ['?__proto__=1&w=toString', `"w" must be ${widths}`],
  ] as const) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await get(query, {}, method)
      t.equal(answer.status, 400, query)
      const text = await answer.text()
      if (method === 'GET') t.same(JSON.parse(text), { detail: `The query parameter ${detail}` }, query)
    }
  }
  for (const query of ['?', '?width=100', '?W=100&cache=1', '?H=50']) {
    t.ok(Buffer.from(await (await get(query)).arrayBuffer()).equals(photo), `${query} is the image`)
  }
  t.same(await listKeys(server.store, { prefix: 'variants/' }), [])
})

t.test('a server without crops says that `h` must be left out', async (t) => {
  const { server, get } = await serve(t, [photo], { VARIANT_SIZES: '100,200' })
  for (const query of ['?w=100&h=50', '?w=100&h=100', '?w=100&h=', '?h=50']) {
    const response = await get(query)
    t.equal(response.status, 400, query)
    t.same(await response.json(), { detail: 'The query parameter "h" must be left out' }, query)
  }
  t.equal((await get('?w=100')).status, 200)
  const document = await (await fetch(`${server.url}/openapi.json`)).json()
  const { parameters } = document.paths['/images/stories/{story_id}/{name}'].get
  const inQuery = parameters.filter((parameter: { in: string }) => parameter.in === 'query')
  t.same(
    inQuery.map(({ name }: { name: string }) => name),
    ['w', 'format'],
  )
})

t.test('a crop has the size that is asked for, an ETag of its own and a place below the story', async (t) => {
  const tall = await makeImage({ type: 'jpg', width: 300, height: 400 })
  const { server, get, paths } = await serve(t, [photo, animation, tall], {
    VARIANT_SIZES: '160,100x100,200x20,640x480',
  })
  for (const [query, size] of [
    ['?w=100&h=100&format=webp', [100, 100]],
    ['?w=200&h=20&format=webp', [200, 20]],
    ['?w=640&h=480&format=webp', [400, 300]],
  ] as const) {
    for (const path of paths.slice(0, 2)) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await get(query, {}, method, path)
        t.equal(answer.status, 200, query)
        t.same([answer.headers.get('x-image-width'), answer.headers.get('x-image-height')], size.map(String), path)
        if (method === 'GET') {
          const about = await sharp(Buffer.from(await answer.arrayBuffer())).metadata()
          t.same(
            [about.width, about.pageHeight ?? about.height, about.pages ?? 1],
            [...size, path === paths[1] ? 3 : 1],
          )
        }
      }
    }
  }
  const portrait = await get('?w=640&h=480', {}, 'HEAD', paths[2])
  t.same([portrait.headers.get('x-image-width'), portrait.headers.get('x-image-height')], ['300', '225'])
  const etags = new Set<string | null>()
  for (const query of ['?w=160', '?w=100&h=100', '?w=200&h=20']) {
    const answer = await get(query, { accept: BROWSER })
    t.equal(answer.headers.get('vary'), 'Accept')
    t.equal(answer.headers.get('content-type'), 'image/avif')
    etags.add(answer.headers.get('etag'))
    await answer.arrayBuffer()
  }
  t.equal(etags.size, 3)
  const [, , , id] = paths[0]?.split('/') ?? []
  t.ok((await listKeys(server.store)).includes(`variants/${id}/1.jpg.100x100.avif`))
  t.equal((await fetch(`${server.url}/api/v1/images/${id}`, { method: 'DELETE' })).status, 200)
  t.same(await listKeys(server.store), [])
})

t.test('an image that is not there, or no longer, has no variants', async (t) => {
  const { server, get, paths } = await serve(t, [photo])
  for (const path of [
    `/images/stories/${storyId(9)}/1.jpg`,
    '/images/stories/x/1.jpg',
    `${paths[0]?.slice(0, -5)}0.1.json`,
  ]) {
    const answer = await get('?w=160', {}, 'GET', path)
    t.equal(answer.status, 404, path)
    t.same(await answer.json(), { detail: `There is no image "${path}"` })
  }
  t.equal((await get('?w=160')).status, 200)
  const [, , , id] = paths[0]?.split('/') ?? []
  t.equal((await fetch(`${server.url}/api/v1/images/${id}`, { method: 'DELETE' })).status, 200)
  t.equal((await get('?w=160')).status, 404)
  t.same(await listKeys(server.store), [])
})

t.test('a broken image is a 422 that no cache keeps, and is still served as it is', async (t) => {
  const broken = photo.subarray(0, photo.length / 2)
  const { server, get } = await serve(t, [broken])
  const svg = `stories/${storyId(2)}/1.jpg`
  await putBytes(server.store, svg, NOT_IMAGES.svg)
  for (const path of [undefined, `/images/${svg}`]) {
    for (const accept of [BROWSER, '*/*']) {
      const answer = await get('?w=320', { accept }, 'GET', path)
      t.equal(answer.status, 422)
      t.equal(answer.headers.get('cache-control'), 'no-store')
      t.ok(isDetail(await answer.text()))
    }
    t.equal((await get('?w=320', {}, 'HEAD', path)).status, 422)
    t.equal((await get('', {}, 'GET', path)).status, 200)
  }
  t.same(await listKeys(server.store, { prefix: 'variants/' }), [])
})

t.test('a signature is one of the image and of its variants', async (t) => {
  const secret = 'a-secret-of-32-characters-or-more'
  const { server, get, paths } = await serve(t, [photo], { SIGNING_SECRETS: secret, PRIVATE_IMAGES: 'true' })
  t.equal((await get('?w=160')).status, 403)
  const signed = await fetch(`${server.url}/api/v1/signed-urls`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ paths }),
  })
  const [url] = Object.values((await signed.json()) as object).flat() as [string | { url: string }]
  const { search } = new URL(typeof url === 'string' ? url : url.url, server.url)
  const answer = await get(`${search}&w=160&format=webp`)
  t.equal(answer.status, 200)
  t.equal(answer.headers.get('content-type'), 'image/webp')
  t.match(answer.headers.get('cache-control'), /^private/)
})

t.test('lists, ids and deletions know nothing of variants', async (t) => {
  const { server, get } = await serve(t, [photo])
  const before = await (await fetch(`${server.url}/api/v1/images`)).text()
  t.equal((await get('?w=160')).status, 200)
  t.equal(await (await fetch(`${server.url}/api/v1/images`)).text(), before)
  await putBytes(server.store, 'variants/notes.txt')
  await putOurs(server.store, `variants/${storyId(3)}/1.jpg.160.webp`)
  t.equal((await fetch(`${server.url}/api/v1/images`, { method: 'DELETE' })).status, 200)
  t.same(await listKeys(server.store), ['variants/notes.txt'])
})

t.test('requests for variants are bounded, and keep neither images nor uploads waiting', async (t) => {
  const options = { VARIANT_CONCURRENCY: '1', S3_TIMEOUT: '1m' }
  const standIn = await startStandIn(t)
  const { server, get } = await serve(t, [photo], options, standIn, { images: 4, waiting: 1 })
  let goOn = () => {}
  const told = new Promise<void>((resolve) => {
    goOn = resolve
  })
  let looked = 0
  standIn.onCall = async ({ operation }) => {
    if (operation !== 'HeadObject') return
    looked += 1
    await told
  }
  const ask = async (query: string) => {
    const answer = await get(query)
    await answer.arrayBuffer()
    return answer
  }
  // 100 at once, and one that waits
  const widths = ['160', '320', '640', '1280']
  const asked = Array.from({ length: 101 }, (_, n) => ask(`?w=${widths[n % 4]}&format=webp`))
  await until(() => looked === 100)
  await until(async () => (await server.app.metrics.text()).includes('queue_length{queue="variants"} 1\n'))
  const refused = await ask('?w=1920')
  t.equal(refused.status, 503)
  t.match(refused.headers.get('retry-after'), /^\d+$/)
  t.equal((await ask('')).status, 200)
  t.equal((await upload(server, photo)).length, 1)
  goOn()
  for (const { status } of await Promise.all(asked)) t.equal(status, 200)
})
