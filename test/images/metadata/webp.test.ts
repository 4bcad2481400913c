import sharp from 'sharp'
import t from 'tap'
import { readOrientation } from '../../../src/images/exif.ts'
import { makeImage } from '../../support/images.ts'
import { BOTH, cutsThatMatter, pixels, strip } from './strip-file.ts'
import { makeTiff, SECRET, type Tag } from './tiff.ts'

const GPS: Tag = { tag: 0x8825, directory: [{ tag: 29, type: 2, value: SECRET }] }
const ORIENTATION: Tag = { tag: 0x0112, type: 3, value: Buffer.from([6, 0]) }
const ARTIST: Tag = { tag: 0x013b, type: 2, value: Buffer.from('Plato\0') }
const TIFF = makeTiff(true, [ORIENTATION, ARTIST, GPS])
const XMP = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="${SECRET}" photoshop:Credit="Plato"/></rdf:RDF></x:xmpmeta>`

function chunk(type: string, content: Buffer | string, size = content.length): Buffer {
  const bytes = Buffer.from(content)
  const header = Buffer.from(`${type}0123`, 'latin1')
  header.writeUInt32LE(size, 4)
  return Buffer.concat([header, bytes, Buffer.alloc(bytes.length % 2)])
}

function webp(...chunks: readonly Buffer[]): Buffer {
  return chunk('RIFF', Buffer.concat([Buffer.from('WEBP'), ...chunks]))
}

function readChunks(file: Buffer, start = 12): { type: string; content: Buffer; whole: Buffer }[] {
  const chunks: { type: string; content: Buffer; whole: Buffer }[] = []
  for (let at = start; at + 8 <= file.length; ) {
    const end = at + 8 + file.readUInt32LE(at + 4)
    const type = file.toString('latin1', at, at + 4)
    chunks.push({ type, content: file.subarray(at + 8, end), whole: file.subarray(at, end + (end % 2)) })
    at = end + (end % 2)
  }
  return chunks
}

const contentOf = (file: Buffer, type: string) =>
  readChunks(file).find((chunk) => chunk.type === type)?.content ?? SECRET

/** An animation with a chunk in its first frame, and others after its frames. */
async function animation(inFrame: readonly Buffer[], ...after: readonly Buffer[]): Promise<Buffer> {
  const file = await makeImage({ type: 'webp', width: 16, height: 12, animated: true })
  let isFirst = true
  const chunks = readChunks(file).map(({ type, content, whole }) => {
    if (type !== 'ANMF' || !isFirst) return whole
    isFirst = false
    return chunk('ANMF', Buffer.concat([content, ...inFrame]))
  })
  return webp(...chunks, ...after)
}

t.test('a WebP without metadata stays as it is', async (t) => {
  const profile = await sharp(await makeImage({ type: 'png' }))
    .withIccProfile('p3')
    .webp()
    .toBuffer()
  const files = [
    profile,
    await animation([]),
    await makeImage({ type: 'webp' }),
    await makeImage({ type: 'webp', lossless: true }),
  ]
  for (const what of BOTH)
    for (const file of files) {
      t.ok(strip('webp', file, what).equals(file), what)
      t.ok(strip('webp', file, what, 20, 7).equals(file), `${what}, in pieces`)
      t.ok(strip('webp', file.subarray(0, -30), what).equals(file.subarray(0, -30)), `${what}, cut off`)
    }
})

t.test('a WebP keeps its length and frames, and loses positions, or everything but the orientation', async (t) => {
  const file = await animation([chunk('EXIF', TIFF), chunk('abcd', SECRET)], chunk('EXIF', TIFF), chunk('XMP ', XMP))
  for (const what of BOTH) {
    const result = strip('webp', file, what)
    t.equal(result.length, file.length)
    t.notOk(result.includes(SECRET), what)
    t.equal(readOrientation(contentOf(result, 'EXIF')), 6, `${what}: the orientation`)
    t.equal(result.includes('Plato\0'), what === 'location')
    t.equal(result.includes('"Plato"'), what === 'location')
    t.ok((await pixels(result)).equals(await pixels(file)), `${what}: the frames are the same`)
    t.same(cutsThatMatter('webp', file, what, 12), [], what)
  }
})

t.test('an animation whose header gives a wrong length for a frame has the same pixels', async (t) => {
  const file = await animation([], chunk('EXIF', TIFF), chunk('XMP ', XMP))
  const start = file.indexOf('ANMF') + 4
  // An odd length is padded
  for (const more of [-1, 2, 6, 40, 300]) {
    const damaged = Buffer.from(file)
    damaged.writeUInt32LE(file.readUInt32LE(start) + more, start)
    for (const what of BOTH) {
      const result = strip('webp', damaged, what)
      t.ok((await pixels(result)).equals(await pixels(file)), `${more} more, ${what}`)
      t.notOk(result.includes(SECRET))
      t.ok(strip('webp', damaged, what, 20, 7).equals(result), 'in pieces')
    }
  }
  const less = Buffer.from(file)
  less.writeUInt32LE(file.readUInt32LE(start) - 40, start)
  await t.rejects(pixels(less), 'sharp decodes no frame that is shorter than its chunks')
  for (const what of BOTH) t.notOk(strip('webp', less, what).subarray(-TIFF.length).includes(SECRET))
})

t.test(
  'what begins in a frame and ends after it hides no metadata from readers that go on at the end of the frame',
  async (t) => {
    const still = readChunks(await makeImage({ type: 'webp' })).map(({ whole }) => whole)
    const hidden = chunk('EXIF', TIFF)
    const frame = (inside: Buffer, length: number) =>
      chunk('ANMF', Buffer.concat([Buffer.alloc(16), inside]), 16 + length)
    const picture = chunk('VP8 ', Buffer.concat([Buffer.alloc(20), hidden]))
    const title: Tag = { tag: 0x013b, type: 2, value: hidden }
    const exif = chunk('EXIF', makeTiff(true, [title]))
    const text = exif.indexOf(hidden)
    const files = {
      'a picture after a chunk that is not in the standard': frame(Buffer.concat([chunk('abcd', ''), picture]), 36),
      'the header of a picture': frame(Buffer.concat([Buffer.from('VP8 '), hidden]), 4),
      'Exif with a text': frame(exif, text),
    }
    for (const [name, bytes] of Object.entries(files))
      for (const what of BOTH) {
        const file = webp(...still, bytes)
        t.ok(contentOf(file, 'EXIF').equals(TIFF), `${name}: another reader finds it`)
        const result = strip('webp', file, what)
        t.equal(result.length, file.length)
        t.notOk(result.includes(SECRET), `${name}, ${what}`)
        t.same(cutsThatMatter('webp', file, what, 12), [], `${name}, ${what}, in pieces`)
      }
  },
)

t.test('what is stored of a byte that pads a picture does not depend on how the file arrives', async (t) => {
  const still = readChunks(await makeImage({ type: 'webp' })).map(({ whole }) => whole)
  const padded = chunk('ICCP', 'odd')
  padded.writeUInt8(0xff, padded.length - 1)
  const file = webp(...still, padded, chunk('EXIF', TIFF))
  for (const what of BOTH) t.same(cutsThatMatter('webp', file, what, 12), [], what)
})

t.test('Exif that begins as in a JPEG, with an odd length, or not at all, loses its position', async (t) => {
  const image = readChunks(await makeImage({ type: 'webp' })).map(({ whole }) => whole)
  const blocks = {
    'with a name': `Exif\0\0${TIFF.toString('latin1')}`,
    odd: `${TIFF.toString('latin1')}!`,
    broken: `${SECRET}`,
  }
  for (const what of BOTH)
    for (const [name, block] of Object.entries(blocks)) {
      const file = webp(...image, chunk('EXIF', Buffer.from(block, 'latin1')), chunk('XMP ', '<broken'))
      const result = strip('webp', file, what)
      t.notOk(result.includes(SECRET), `${what}: ${name}`)
      t.notOk(result.includes('<broken'))
      t.equal(result.length, file.length)
      t.equal(result.includes('Plato'), what === 'location' && name !== 'broken', `${what}: ${name}`)
      t.same(
        readChunks(result).map(({ type }) => type),
        readChunks(file).map(({ type }) => type),
      )
    }
})

t.test(
  'what is unknown or too large to hold becomes zeros in a WebP, and what follows its size is removed',
  async (t) => {
    const image = readChunks(await makeImage({ type: 'webp' })).map(({ whole }) => whole)
    const large = Buffer.concat([makeTiff(true, [ORIENTATION, ARTIST]), Buffer.alloc(300_000, SECRET)])
    const file = webp(
      ...image,
      chunk('C2PA', SECRET),
      chunk('EXIF', large),
      chunk('XMP ', Buffer.alloc(300_001, SECRET)),
      Buffer.from('SECRET'),
    )
    for (const what of BOTH) {
      const result = strip('webp', Buffer.concat([file, SECRET]), what, 30, 65_536)
      t.equal(result.length, file.length, what)
      t.notOk(result.includes('SECRET'), what)
      t.equal(readOrientation(contentOf(result, 'EXIF')), 6)
      const beyond = Buffer.concat([webp(...image, chunk('EXIF', TIFF, 10_000)), SECRET])
      t.notOk(strip('webp', beyond, what).includes(SECRET), `${what}: a chunk longer than the file`)
    }
  },
)

t.test('frames in frames, and more than 100,000 chunks of metadata, become zeros in a WebP', async (t) => {
  const image = readChunks(await makeImage({ type: 'webp' })).map(({ whole }) => whole)
  const nested = chunk(
    'ANMF',
    Buffer.concat([Buffer.alloc(16), chunk('ANMF', Buffer.concat([Buffer.alloc(16), SECRET]))]),
  )
  const small = chunk('abcd', '')
  const file = webp(...image, nested, Buffer.alloc(small.length * 100_000, small), chunk('ICCP', SECRET))
  const result = strip('webp', file, 'location')
  t.equal(result.length, file.length)
  t.notOk(result.includes(SECRET))
  // Its end is in a picture of the inner frame, which has more after that
  const inner = chunk(
    'ANMF',
    Buffer.concat([Buffer.alloc(16), chunk('VP8 ', Buffer.concat([Buffer.alloc(20), SECRET]))]),
  )
  const outer = Buffer.concat([chunk('ANMF', Buffer.alloc(16), 68), inner])
  t.notOk(strip('webp', webp(...image, outer), 'location').includes(SECRET), 'a frame that ends in one of its own')
})
