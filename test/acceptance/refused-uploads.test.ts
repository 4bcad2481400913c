import type { Test } from 'tap'
import { box, fileType, makeImage, NOT_IMAGES } from '../support/images.ts'
import type { ServerProcess } from '../support/server-process.ts'
import {
  BOUNDARY,
  exchange,
  isError,
  listImages,
  MULTIPART,
  multipart,
  type Part,
  post,
  send,
  someImages,
  UPLOAD,
  type Uploaded,
} from './client.ts'
import { onEachStore, type TestStore } from './stores.ts'

interface Refusal {
  readonly what: string
  readonly status: number
  readonly sentence: RegExp
  readonly parts: readonly Part[]
}

/** A refused upload leaves nothing, in no list and not in the store either. */
async function refuses(t: Test, server: ServerProcess, store: TestStore, refusals: readonly Refusal[]): Promise<void> {
  for (const { what, status, sentence, parts } of refusals) {
    isError(t, await post(server, parts), status, sentence, what)
    t.same(await listImages(server), [], `${what}: nothing is listed`)
    t.same(await store.content(), [], `${what}: nothing is left`)
  }
}

onEachStore('an upload that is not as the contract says is a 400', async (t, server, store) => {
  const body = await makeImage({ type: 'jpg' })
  const good = { body }
  const text = { name: 'title', filename: null, body: 'x' }
  await refuses(t, server, store, [
    { what: 'no parts', status: 400, sentence: /^No files provided$/, parts: [] },
    { what: 'text alone', status: 400, sentence: /^No files provided$/, parts: [text, text] },
    { what: 'another name', status: 400, sentence: /^File part 1 /, parts: [{ name: 'file', body }] },
    {
      what: 'another name later',
      status: 400,
      sentence: /^File part 3 /,
      parts: [good, good, { name: 'pictures', body }],
    },
    { what: 'files as text', status: 400, sentence: /text field/, parts: [{ filename: null, body: 'a.jpg' }] },
    { what: 'an image as text', status: 400, sentence: /"files"|text field/, parts: [good, { filename: null, body }] },
    { what: 'an empty file', status: 400, sentence: /^File 1 is empty$/, parts: [{ body: '' }] },
    { what: 'an empty file later', status: 400, sentence: /^File 2 is empty$/, parts: [good, { body: '' }, good] },
    { what: 'no file chosen', status: 400, sentence: /^No files provided$/, parts: [{ filename: '', body: '' }] },
  ])
})

onEachStore('a multipart body that is broken or ends too early is a 400', async (t, server, store) => {
  const [first, second] = await someImages(2)
  const whole = multipart([{ body: first ?? '' }, { body: second ?? '' }])
  const text = whole.toString('latin1')
  const bodies: [string, Buffer | string][] = [
    ['nothing at all', ''],
    ['no boundary in it', 'just some text'],
    ['another boundary', text.replaceAll(BOUNDARY, 'other')],
    ['cut in the first header', whole.subarray(0, BOUNDARY.length + 20)],
    ['cut in the first image', whole.subarray(0, 300)],
    ['cut in the second image', whole.subarray(0, whole.length - 100)],
    ['cut in front of the last boundary', whole.subarray(0, whole.length - BOUNDARY.length - 8)],
    ['cut in the last boundary', whole.subarray(0, whole.length - 3)],
  ]
  for (const [what, body] of bodies) {
    const answer = await send(server, 'POST', UPLOAD, { headers: MULTIPART, body })
    isError(t, answer, 400, /multipart body is broken|^No files provided$/, what)
    t.same(await listImages(server), [], `${what}: nothing is listed`)
    t.same(await store.content(), [], `${what}: nothing is left`)
  }
  for (const type of ['multipart/form-data', 'multipart/form-data; boundary=', 'multipart/form-data; charset=utf-8']) {
    const answer = await send(server, 'POST', UPLOAD, { headers: { 'content-type': type }, body: whole })
    isError(t, answer, 400, /boundary/, type)
  }
  const ended = await exchange(
    server,
    `POST ${UPLOAD} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: ${MULTIPART['content-type']}\r\n`,
    `Transfer-Encoding: chunked\r\n\r\n5\r\n--a-b\r\n0\r\n\r\n`,
  )
  isError(t, ended, 400, /multipart body is broken/, 'a chunked body that ends too early')
  t.same(await store.content(), [])
})

onEachStore('what is not one of the image types is a 415 that says what to send', async (t, server, store) => {
  const good = { body: await makeImage({ type: 'png' }) }
  const lie = (body: Buffer) => ({ filename: 'a.jpg', type: 'image/jpeg', body })
  await refuses(t, server, store, [
    { what: 'SVG', status: 415, sentence: /^File 1 .*SVG.*PNG or WebP/, parts: [lie(NOT_IMAGES.svg)] },
    { what: 'SVG in UTF-16', status: 415, sentence: /^File 1 .*SVG/, parts: [lie(NOT_IMAGES.svgUtf16)] },
    { what: 'HEIC', status: 415, sentence: /^File 2 .*HEIC.*JPEG or AVIF/, parts: [good, lie(NOT_IMAGES.heic)] },
    ...(['html', 'text', 'pdf', 'zip', 'mp4', 'bmp', 'tiff'] as const).map((kind) => ({
      what: kind,
      status: 415,
      sentence: /^File 3 is not a JPEG, PNG, GIF, WebP or AVIF image$/,
      parts: [good, good, lie(NOT_IMAGES[kind]), good],
    })),
    { what: 'a JPEG of 3 bytes', status: 415, sentence: /^File 1 /, parts: [lie(Buffer.from('ffd8ff', 'hex'))] },
    { what: 'a PNG signature alone', status: 415, sentence: /^File 1 .*PNG/i, parts: [lie(good.body.subarray(0, 8))] },
    {
      what: 'AVIF without a size',
      status: 415,
      sentence: /^File 1 .*avif/i,
      parts: [lie(Buffer.concat([fileType('avif', 'avif'), box('mdat', 'x')]))],
    },
  ])
  for (const type of ['application/json', 'image/jpeg', 'application/x-www-form-urlencoded', 'multipart/mixed', '']) {
    const headers = type === '' ? {} : { 'content-type': type }
    const answer = await send(server, 'POST', UPLOAD, { headers, body: '{"files": []}' })
    isError(t, answer, 415, /multipart\/form-data.*"files"/, `Content-Type: ${type}`)
  }
  isError(t, await send(server, 'POST', UPLOAD), 400, /^No files provided$/, 'no body and no type')
  t.same(await store.content(), [])
})

const LIMITS = { MAX_FILE_SIZE: '100KiB', MAX_FILES: '3', MAX_PIXELS: '10000' }

onEachStore(
  'what is over a limit is a 413 that names the limit, and what is at it passes',
  async (t, server, store) => {
    const small = { body: await makeImage({ type: 'jpg' }) }
    const png = await makeImage({ type: 'png' })
    // Bytes behind the end of a PNG are no concern of the format
    const sized = (bytes: number) => ({ body: Buffer.concat([png, Buffer.alloc(bytes - png.length)]) })
    const limit = 100 * 1024
    const field = (bytes: number) => ({ name: 'title', filename: null, body: 'x'.repeat(bytes) })
    const wide = await makeImage({ type: 'png', width: 101, height: 100 })
    await refuses(t, server, store, [
      { what: 'a byte too many', status: 413, sentence: /^File 1 .*100 KiB/, parts: [sized(limit + 1)] },
      { what: 'far too large', status: 413, sentence: /^File 2 .*100 KiB/, parts: [small, sized(5 * limit), small] },
      {
        what: 'larger than all files together',
        status: 413,
        sentence: /3 files of 100 KiB/,
        parts: [sized(20 * limit)],
      },
      { what: 'too many files', status: 413, sentence: /more than 3 files/, parts: Array(4).fill(small) },
      { what: 'twice too many files', status: 413, sentence: /more than 3 files/, parts: Array(50).fill(small) },
      {
        what: 'too many fields',
        status: 413,
        sentence: /more than 16 text fields/,
        parts: [...Array(17).fill(field(1)), small],
      },
      { what: 'a large field', status: 413, sentence: /text field.*1 KiB/, parts: [field(1025), small] },
      { what: 'a large field last', status: 413, sentence: /text field.*1 KiB/, parts: [small, field(100_000)] },
      { what: 'pixels', status: 413, sentence: /^File 2 has 101 × 100 pixels.*10000/, parts: [small, { body: wide }] },
    ])
    const answer = await post(server, [
      sized(limit),
      { body: await makeImage({ type: 'png', width: 100, height: 100 }) },
      small,
      ...Array(16).fill(field(1024)),
    ])
    t.equal(answer.status, 200, `exactly the limits: ${answer.body}`)
    t.equal(answer.json<Uploaded>().image_count, 3)
  },
  LIMITS,
)
