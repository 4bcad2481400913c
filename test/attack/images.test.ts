import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import {
  type Answer,
  get,
  IMAGES,
  isError,
  listImages,
  post,
  remove,
  send,
  type Uploaded,
} from '../acceptance/client.ts'
import { diskStore, onEachStore, serverOn, type TestStore } from '../acceptance/stores.ts'
import { sample } from '../support/extent.ts'
import { box, fileType, makeImage, NOT_IMAGES } from '../support/images.ts'
import type { ServerProcess } from '../support/server-process.ts'
import { PAYLOADS, polyglots } from './polyglots.ts'

const TYPES = ['jpg', 'png', 'gif', 'webp', 'avif'] as const

/** What bytes are, by their signature alone. */
function typeOf(body: Buffer): string | undefined {
  const text = body.toString('latin1', 0, 12)
  if (text.startsWith('\xff\xd8\xff')) return 'image/jpeg'
  if (text.startsWith('\x89PNG\r\n\x1a\n')) return 'image/png'
  if (/^GIF8[79]a/.test(text)) return 'image/gif'
  if (/^RIFF.{4}WEBP/s.test(text)) return 'image/webp'
  return text.slice(4, 8) === 'ftyp' ? 'image/avif' : undefined
}

/** An image's answer lets no browser take it for anything but the image. */
function isHarmless(answer: Answer, type: string | undefined): boolean {
  const { headers } = answer
  const policy = String(headers['content-security-policy'])
  return (
    headers['content-type'] === type &&
    headers['x-content-type-options'] === 'nosniff' &&
    /(^|; ?)sandbox(;|$)/.test(policy) &&
    policy.includes("default-src 'none'")
  )
}

onEachStore('what only has the name and the type of an image is refused', async (t, server, store) => {
  const files: Record<string, Buffer | string> = {
    ...NOT_IMAGES,
    ...PAYLOADS,
    'HTML in UTF-16': Buffer.from(`\ufeff${PAYLOADS.HTML}`, 'utf16le'),
    'HTML behind a byte order mark': `\ufeff${PAYLOADS.HTML}`,
    'SVG that is compressed': gzipSync(PAYLOADS.SVG),
    'SVG behind white space': `\n\n\t ${PAYLOADS.SVG}`,
    'SVG with a doctype': `<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>${PAYLOADS.SVG}`,
    XML: '<?xml version="1.0"?><?xml-stylesheet href="x.xsl"?><a/>',
    'an MP4': fileType('mp42', 'isom'),
    'a QuickTime film': fileType('qt  ', 'qt  '),
    'a JPEG XL': Buffer.concat([Buffer.from('0000000c4a584c20', 'hex'), box('ftyp', 'jxl \0\0\0\0jxl ')]),
    'a program': Buffer.from('7f454c4602010100', 'hex'),
    'a program for Windows': 'MZ\x90\0\x03',
    'a shell script': '#!/bin/sh\nrm -rf /\n',
    WebAssembly: Buffer.from('0061736d01000000', 'hex'),
    'a GIF of no version': 'GIF88a\x01\0\x01\0\0\0\0',
    'a GIF behind a space': ' GIF89a\x01\0\x01\0\0\0\0',
    'a JPEG behind HTML': Buffer.concat([Buffer.from(PAYLOADS.HTML), await makeImage({ type: 'jpg' })]),
    'a PNG with line ends of Unix': Buffer.from('89504e470a1a0a0000000d49484452', 'hex'),
    'a PNG with its first bit lost': Buffer.from('09504e470d0a1a0a0000000d49484452', 'hex'),
    'a WAVE': 'RIFF\x24\0\0\0WAVEfmt ',
  }
  for (const [what, body] of Object.entries(files)) {
    for (const type of TYPES) {
      const answer = await post(server, [{ filename: `a.${type}`, type: `image/${type}`, body }])
      isError(t, answer, 415, /^File 1 /, `${what} as ${type}`)
    }
  }
  t.same([await listImages(server), await store.content()], [[], []], 'and nothing is left of any of them')
})

/** Stores also what the default removes, so that the attacks find it all. */
const WHOLE = { STRIP_METADATA: 'none' }

const POLYGLOTS = 'a file that is an image and something else is an image, and nothing else'
onEachStore(POLYGLOTS, servesPolyglots, WHOLE)

async function servesPolyglots(t: Test, server: ServerProcess, store: TestStore): Promise<void> {
  for (const { what, type, body } of sample(await polyglots(), 5)) {
    for (const filename of ['a.html', 'a.svg', 'a.js', 'a.php.jpg', 'a.jpg\\0.html']) {
      const answer = await post(server, [{ filename, type: 'text/html', body }])
      t.equal(answer.status, 200, `${what}: ${answer.body}`)
      if (answer.status !== 200) break
      const [path = ''] = answer.json<Uploaded>().image_paths
      t.match(path, /\/1\.(jpg|png|gif|webp|avif)$/, what)
      const image = await get(server, path)
      t.ok(isHarmless(image, type), `${what}: ${JSON.stringify(image.headers)}`)
      t.ok(image.body.equals(body), `${what}: its bytes are as they were sent`)
      if (filename !== 'a.html') continue
      const part = await get(server, path, { range: 'bytes=20-', accept: 'text/html' })
      t.equal(part.status, 206)
      t.ok(isHarmless(part, type), `a range of ${what}`)
      t.ok(isHarmless(await send(server, 'HEAD', path), type), `the headers of ${what}`)
      for (const other of ['html', 'svg', 'js', 'htm', 'xml', 'jpg.html', 'jpg/x.html', 'jpg;.html', 'jpg%00.html']) {
        const renamed = path.replace(/\w+$/, other)
        if (renamed !== path) t.equal((await get(server, renamed)).status, 404, renamed)
      }
    }
  }
  await remove(server, IMAGES)
  t.same(await store.content(), [])
}

onEachStore('an image that claims more pixels than allowed is refused by its header', async (t, server, store) => {
  const size = { width: 8, height: 8 }
  const patched = async (options: Parameters<typeof makeImage>[0], patch: (bytes: Buffer) => void) => {
    const bytes = Buffer.from(await makeImage(options))
    patch(bytes)
    return bytes
  }
  const sof = (bytes: Buffer) =>
    bytes.findIndex((byte, at) => byte === 0xff && [0xc0, 0xc2].includes(bytes[at + 1] ?? 0))
  const jpeg = (width: number, height: number, progressive: boolean) =>
    patched({ type: 'jpg', progressive, ...size }, (bytes) => {
      bytes.writeUInt16BE(height, sof(bytes) + 5)
      bytes.writeUInt16BE(width, sof(bytes) + 7)
    })
  const png = (width: number, height: number) =>
    patched({ type: 'png', ...size }, (bytes) => {
      bytes.writeUInt32BE(width, 16)
      bytes.writeUInt32BE(height, 20)
    })
  const gif = (width: number, height: number) =>
    patched({ type: 'gif', ...size }, (bytes) => {
      bytes.writeUInt16LE(width, 6)
      bytes.writeUInt16LE(height, 8)
    })
  const vp8 = (width: number, height: number) =>
    patched({ type: 'webp', ...size }, (bytes) => {
      bytes.writeUInt16LE(width, bytes.indexOf('VP8 ') + 14)
      bytes.writeUInt16LE(height, bytes.indexOf('VP8 ') + 16)
    })
  const vp8l = (width: number, height: number) =>
    patched({ type: 'webp', lossless: true, ...size }, (bytes) => {
      bytes.writeUInt32LE((width - 1) | ((height - 1) << 14), bytes.indexOf('VP8L') + 9)
    })
  const vp8x = Buffer.from('524946464000000057454250565038580a00000000000000ffffffffffff', 'hex')
  const avif = (width: number, height: number) =>
    patched({ type: 'avif', ...size }, (bytes) => {
      for (let at = bytes.indexOf('ispe'); at >= 0; at = bytes.indexOf('ispe', at + 1)) {
        bytes.writeUInt32BE(width, at + 8)
        bytes.writeUInt32BE(height, at + 12)
      }
    })
  const bombs: [string, Buffer][] = [
    ['JPEG', await jpeg(65535, 65535, false)],
    ['progressive JPEG', await jpeg(65500, 4092, true)],
    ['PNG', await png(0x7fffffff, 0x7fffffff)],
    ['narrow PNG', await png(1, 268_000_001)],
    ['PNG beyond its own limit', await png(0xffffffff, 0xffffffff)],
    ['GIF', await gif(65535, 65535)],
    ['WebP', await vp8(16383, 16383)],
    ['lossless WebP', await vp8l(16384, 16384)],
    ['extended WebP', vp8x],
    ['AVIF', await avif(0xffffffff, 0xffffffff)],
    ['wide AVIF', await avif(268_000_001, 1)],
  ]
  for (const [what, body] of bombs) {
    const answer = await post(server, [{ body: await makeImage({ type: 'png' }) }, { body }])
    isError(t, answer, 413, /^File 2 has \d+ × \d+ pixels; the limit is 268000000/, what)
  }
  const empty: [string, Buffer][] = [
    ['JPEG', await jpeg(0, 8, false)],
    ['PNG', await png(8, 0)],
    // With a frame it would have the size of that
    ['GIF', (await gif(0, 0)).subarray(0, 13)],
    ['AVIF', await avif(0, 8)],
  ]
  for (const [what, body] of empty) isError(t, await post(server, [{ body }]), 415, /^File 1 /, `${what} of no size`)
  t.same([await listImages(server), await store.content()], [[], []], 'and nothing is left')
})

/** Uploads bodies, a few at once; each is refused for a documented reason, or is served as the image that it is. */
async function attack(t: Test, server: ServerProcess, bodies: readonly Buffer[], what: string): Promise<void> {
  const wrong: string[] = []
  const statuses = new Map<number, number>()
  const check = async (body: Buffer, index: number) => {
    const answer = await post(server, [{ body }])
    statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
    if (answer.status === 200) {
      const image = await get(server, answer.json<Uploaded>().image_paths[0] ?? '')
      if (!isHarmless(image, typeOf(body)) || !image.body.equals(body)) wrong.push(`${index}: served wrongly`)
    } else if (![400, 413, 415].includes(answer.status)) wrong.push(`${index}: ${answer.status} ${answer.body}`)
  }
  const tried = sample(bodies, 16)
  for (let at = 0; at < tried.length; at += 8) {
    await Promise.all(tried.slice(at, at + 8).map((body, index) => check(body, at + index)))
  }
  t.same(wrong, [], `${what}: ${[...statuses].map(([status, count]) => `${count} × ${status}`).join(', ')}`)
}

t.test('an image that is cut off or changed at any byte of its head does no harm', async (t) => {
  const store = await diskStore(t)
  const server = await serverOn(t, store, WHOLE)
  const variants = [
    { type: 'jpg' },
    { type: 'png' },
    { type: 'gif' },
    { type: 'webp' },
    { type: 'webp', lossless: true },
    { type: 'avif' },
  ] as const
  for (const options of sample(variants, 1)) {
    const image = await makeImage({ ...options, width: 8, height: 8 })
    const head = Math.min(image.length, 400)
    const cut = Array.from({ length: head / 2 }, (_, half) => image.subarray(0, 2 * half))
    await attack(t, server, cut, `${JSON.stringify(options)} cut off`)
    const changed = Array.from({ length: Math.min(image.length, 200) }, (_, at) => {
      const byte = image[at] ?? 0
      const copy = Buffer.from(image)
      copy[at] = [0, 0xff, byte ^ 1, byte ^ 0x80][at % 4] ?? 0
      return copy
    })
    await attack(t, server, changed, `${JSON.stringify(options)} changed`)
    const bloated = Array.from({ length: Math.min(image.length, 200) }, (_, at) =>
      Buffer.concat([image.subarray(0, at), Buffer.alloc(8, 0xff), image.subarray(at)]),
    )
    await attack(t, server, bloated, `${JSON.stringify(options)} with bytes between`)
  }
  t.equal((await remove(server, IMAGES)).status, 200)
  t.same(await store.content(), [], 'what was refused has left nothing')
  t.same(
    server.log().filter(({ level }) => level >= 50),
    [],
    'and no error is in the log',
  )
})
