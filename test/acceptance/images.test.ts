import { caseFile, withComments, withPixelsFirst } from '../images/field-files.ts'
import { makeImage } from '../support/images.ts'
import { type Answer, get, IMAGES, isError, listImages, post, remove, send, upload } from './client.ts'
import { onEachStore } from './stores.ts'

onEachStore('GET and HEAD of an image tell a CDN and a browser what they need', async (t, server) => {
  const types = {
    jpg: 'image/jpeg',
    png: 'image/png',
    gif: 'image/gif',
    webp: 'image/webp',
    avif: 'image/avif',
  } as const
  const images = await Promise.all(
    (Object.keys(types) as (keyof typeof types)[]).map((type) => makeImage({ type, width: 40, height: 30 })),
  )
  images.push(await makeImage({ type: 'jpg', width: 40, height: 30, orientation: 6 }))
  const begin = Math.floor(Date.now() / 1000) * 1000
  const { story_id, image_paths } = await upload(server, images)
  const contentTypes = [...Object.values(types), 'image/jpeg']
  for (const [index, path] of image_paths.entries()) {
    const responses = { GET: await get(server, path), HEAD: await send(server, 'HEAD', path) }
    for (const [method, { status, headers }] of Object.entries(responses)) {
      const what = `${method} ${path.split('/').at(-1)}`
      t.equal(status, 200, what)
      t.match(
        headers,
        {
          'content-type': contentTypes[index],
          'content-length': String(images[index]?.length),
          'accept-ranges': 'bytes',
          'cache-control': 'public, max-age=86400, immutable',
          'cache-tag': story_id,
          'x-amz-meta-cache-tag': story_id,
          'access-control-allow-origin': '*',
          'x-content-type-options': 'nosniff',
          'content-security-policy': "default-src 'none'; sandbox",
          'cross-origin-resource-policy': 'cross-origin',
          'x-image-width': index === 5 ? '30' : '40',
          'x-image-height': index === 5 ? '40' : '30',
        },
        what,
      )
      t.match(headers.etag, /^"[^"]+"$/, `${what} has a strong entity tag`)
      const modified = Date.parse(headers['last-modified'] ?? '')
      t.ok(modified >= begin - 1000 && modified <= Date.now() + 1000, `${what} has the time of the upload`)
      t.equal(headers['last-modified'], new Date(modified).toUTCString())
    }
    t.ok(responses.GET.body.equals(images[index] ?? Buffer.alloc(0)), 'GET has the bytes')
    t.equal(responses.HEAD.body.length, 0, 'HEAD has no body')
    t.equal(responses.GET.headers.etag, responses.HEAD.headers.etag)
    t.equal(responses.GET.headers['last-modified'], responses.HEAD.headers['last-modified'])
  }
})

const MIB = 1024 * 1024

onEachStore(
  'an image whose size comes after 6 MiB of its file is stored and served with that size',
  async (t, server) => {
    const turned = withComments(await makeImage({ type: 'jpg', orientation: 6 }), 6 * MIB)
    const images = [turned, withPixelsFirst(6 * MIB, 64, 48), await makeImage({ type: 'png' })]
    const { image_paths: paths } = await upload(server, images)
    const sizes = [
      ['30', '40'],
      ['64', '48'],
      ['40', '30'],
    ]
    for (const [index, path] of paths.entries()) {
      const whole = await get(server, path)
      t.ok(whole.body.equals(images[index] ?? Buffer.alloc(0)), path)
      const { etag = '' } = whole.headers
      const others = [
        await send(server, 'HEAD', path),
        await get(server, path, { range: 'bytes=0-9' }),
        await get(server, path, { 'if-none-match': etag }),
      ]
      t.same(
        others.map(({ status }) => status),
        [200, 206, 304],
      )
      for (const { headers } of [whole, ...others])
        t.same([headers['x-image-width'], headers['x-image-height']], sizes[index], path)
    }
    t.match((await get(server, `${paths[0]}?w=160&format=webp`)).headers, {
      'x-image-width': '30',
      'x-image-height': '40',
    })
  },
)

onEachStore(
  'the limit of pixels counts wherever a size comes, and whatever the header says first',
  async (t, server) => {
    const late = withComments(await makeImage({ type: 'jpg', width: 400, height: 300 }), 6 * MIB)
    const nowhere = late.subarray(0, 6 * MIB)
    const before = await makeImage({ type: 'png' })
    for (const body of [late, withPixelsFirst(6 * MIB, 400, 300), caseFile('g-400-megapixels-behind-1x1.gif')]) {
      const response = await post(server, [{ body: before }, { body }])
      isError(t, response, 413, /^File 2 has \d+ × \d+ pixels; the limit is 100000 pixels for one image$/)
    }
    isError(
      t,
      await post(server, [{ body: before }, { body: nowhere }]),
      415,
      /^File 2 starts like an image\/jpeg, but /,
    )
    t.same(await listImages(server), [])
  },
  { MAX_PIXELS: '100000' },
)

onEachStore(
  'the operator chooses for how long images may be cached',
  async (t, server) => {
    const { image_paths } = await upload(server, [await makeImage({ type: 'png' })])
    t.equal((await get(server, image_paths[0] ?? '')).headers['cache-control'], 'public, max-age=5')
  },
  { CACHE_CONTROL: 'public, max-age=5' },
)

onEachStore('a client whose copy is up to date gets a 304 without a body', async (t, server) => {
  const { image_paths } = await upload(server, [await makeImage({ type: 'jpg' })])
  const path = image_paths[0] ?? ''
  const { headers } = await get(server, path)
  const etag = headers.etag ?? ''
  const modified = headers['last-modified'] ?? ''
  const later = new Date(Date.parse(modified) + 60_000).toUTCString()
  const earlier = new Date(Date.parse(modified) - 60_000).toUTCString()
  const good: Record<string, string>[] = [
    { 'if-none-match': etag },
    { 'if-none-match': `"other", ${etag}` },
    { 'if-none-match': `W/${etag}` },
    { 'if-none-match': '*' },
    { 'if-modified-since': modified },
    { 'if-modified-since': later },
    { 'if-none-match': etag, 'if-modified-since': earlier },
    { 'if-none-match': etag, range: 'bytes=0-1' },
  ]
  for (const conditions of good) {
    for (const method of ['GET', 'HEAD']) {
      const response = await send(server, method, path, { headers: conditions })
      const what = `${method} ${JSON.stringify(conditions)}`
      t.equal(response.status, 304, what)
      t.equal(response.body.length, 0, what)
      // What a cache needs to keep using its copy (RFC 9110 section 15.4.5)
      t.equal(response.headers.etag, etag, what)
      t.equal(response.headers['cache-control'], headers['cache-control'], what)
    }
  }
  const bad: Record<string, string>[] = [
    { 'if-none-match': '"other"' },
    { 'if-none-match': 'W/"other", "another"' },
    { 'if-modified-since': earlier },
    { 'if-modified-since': 'yesterday' },
    { 'if-none-match': '"other"', 'if-modified-since': later },
  ]
  for (const conditions of bad) {
    const response = await get(server, path, conditions)
    t.equal(response.status, 200, JSON.stringify(conditions))
    t.equal(response.body.length, Number(headers['content-length']), JSON.stringify(conditions))
  }
})

onEachStore('a request for a range of an image gets only that range', async (t, server) => {
  const image = await makeImage({ type: 'png', width: 100, height: 100 })
  const size = image.length
  const { image_paths } = await upload(server, [image])
  const path = image_paths[0] ?? ''
  const whole = await get(server, path)
  const modified = whole.headers['last-modified'] ?? ''
  const etag = whole.headers.etag ?? ''

  const isPart = (response: Answer, first: number, last: number, what: string) => {
    t.equal(response.status, 206, what)
    t.equal(response.headers['content-range'], `bytes ${first}-${last}/${size}`, what)
    t.equal(response.headers['content-length'], String(last - first + 1), what)
    t.equal(response.headers['content-type'], 'image/png', what)
    t.equal(response.headers.etag, etag, what)
    t.ok(response.body.equals(image.subarray(first, last + 1)), what)
  }
  const parts: [string, number, number][] = [
    ['bytes=0-0', 0, 0],
    ['bytes=0-99', 0, 99],
    ['bytes=100-199', 100, 199],
    [`bytes=${size - 1}-`, size - 1, size - 1],
    ['bytes=5-', 5, size - 1],
    ['bytes=-7', size - 7, size - 1],
    [`bytes=-${size + 1000}`, 0, size - 1],
    [`bytes=10-${size + 1000}`, 10, size - 1],
    ['BYTES=1-2', 1, 2],
  ]
  for (const [range, first, last] of parts) isPart(await get(server, path, { range }), first, last, range)

  const isWhole = (response: Answer, what: string) => {
    t.equal(response.status, 200, what)
    t.notOk('content-range' in response.headers, what)
    t.ok(response.body.equals(image), what)
  }
  // Anything but a single range may be ignored (RFC 9110 section 14.2)
  for (const range of ['bytes=0-1,4-5', 'bytes=9-3', 'bytes=', 'bytes=-', 'bytes=a-b', 'lines=1-2', 'bytes=0-1, ']) {
    isWhole(await get(server, path, { range }), range)
  }
  for (const range of [`bytes=${size}-`, `bytes=${size + 5}-${size + 9}`, 'bytes=-0']) {
    const response = await get(server, path, { range })
    isError(t, response, 416, /is outside the image/, range)
    t.equal(response.headers['content-range'], `bytes */${size}`, range)
    t.not(response.headers['cache-control'], whole.headers['cache-control'], 'an error is not cached like an image')
  }

  const range = 'bytes=2-3'
  isPart(await get(server, path, { range, 'if-range': etag }), 2, 3, 'If-Range with the entity tag')
  isPart(await get(server, path, { range, 'if-range': modified }), 2, 3, 'If-Range with the date')
  const other = new Date(Date.parse(modified) - 1000).toUTCString()
  for (const condition of ['"other"', `W/${etag}`, other, 'nonsense']) {
    isWhole(await get(server, path, { range, 'if-range': condition }), `If-Range: ${condition}`)
  }
  isWhole(await get(server, path, { range: `bytes=${size}-`, 'if-range': '"other"' }), 'If-Range before the 416')
  const head = await send(server, 'HEAD', path, { headers: { range } })
  t.equal(head.status, 200, 'a range is for GET only (RFC 9110 section 14.2)')
  t.equal(head.headers['content-length'], String(size))
})

onEachStore('a path without an image is a 404 that no cache keeps', async (t, server) => {
  const { story_id, image_paths } = await upload(server, [await makeImage({ type: 'jpg' })])
  const folder = `/images/stories/${story_id}`
  const paths = [
    `${folder}/2.jpg`,
    `${folder}/1.png`,
    `${folder}/1.jpeg`,
    `${folder}/01.jpg`,
    `${folder}/0.jpg`,
    `${folder}/0.1.json`,
    `${folder}/0.2.json`,
    `${folder}/.1.jpg.json`,
    `${folder}/1.jpg.json`,
    `${folder}/1.JPG`,
    `${folder}/`,
    folder,
    `${folder.toUpperCase()}/1.jpg`,
    `/images/stories/${story_id.toUpperCase()}/1.jpg`,
    '/images/stories/no-uuid/1.jpg',
    '/images/stories/../stories/1.jpg',
    `/images/stories/..%2f..%2f${story_id}/1.jpg`,
    `${folder}/..%2f1.jpg`,
    `${folder}/1.jpg%00`,
    '/images/stories/00000000-0000-4000-8000-000000000000/1.jpg',
  ]
  for (const path of paths) {
    const response = await get(server, path)
    isError(t, response, 404, /^There is no (image|route)/, path)
    t.equal(response.headers['cache-control'], 'no-store', path)
    const head = await send(server, 'HEAD', path)
    t.equal(head.status, 404, `HEAD ${path}`)
    t.equal(head.body.length, 0)
  }
  await remove(server, `${IMAGES}/${story_id}`)
  isError(t, await get(server, image_paths[0] ?? ''), 404, /no image/, 'a deleted image')
})
