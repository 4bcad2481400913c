import { crc32, deflateSync } from 'node:zlib'
import t from 'tap'
import { readOrientation } from '../../../src/images/exif.ts'
import { makeImage } from '../../support/images.ts'
import { BOTH, cutsThatMatter, pixels, strip } from './strip-file.ts'
import { makeTiff, SECRET, type Tag } from './tiff.ts'

const SIGNATURE = Buffer.from('89504e470d0a1a0a', 'hex')
const GPS: Tag = { tag: 0x8825, directory: [{ tag: 29, type: 2, value: SECRET }] }
const ORIENTATION: Tag = { tag: 0x0112, type: 3, value: Buffer.from([6, 0]) }
const ARTIST: Tag = { tag: 0x013b, type: 2, value: Buffer.from('Plato\0') }
const XMP = `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="${SECRET}" photoshop:Credit="Plato"/></rdf:RDF></x:xmpmeta>`

interface Chunk {
  readonly type: string
  readonly content: Buffer
  readonly whole: Buffer
}

function chunk(type: string, content: Buffer | string = ''): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(4), Buffer.from(type, 'latin1'), Buffer.from(content), Buffer.alloc(4)])
  bytes.writeUInt32BE(bytes.length - 12)
  bytes.writeUInt32BE(crc32(bytes.subarray(4, -4)), bytes.length - 4)
  return bytes
}

function readChunks(file: Buffer): Chunk[] {
  const chunks: Chunk[] = []
  for (let at = 8; at < file.length; ) {
    const end = at + 12 + file.readUInt32BE(at)
    const type = file.toString('latin1', at + 4, at + 8)
    chunks.push({ type, content: file.subarray(at + 8, end - 4), whole: file.subarray(at, end) })
    at = end
  }
  return chunks
}

/** An image with further chunks before its pixels. */
async function withChunks(...chunks: readonly Buffer[]): Promise<Buffer> {
  const [header, ...others] = readChunks(await makeImage({ type: 'png' }))
  return Buffer.concat([SIGNATURE, header?.whole ?? SIGNATURE, ...chunks, ...others.map(({ whole }) => whole)])
}

const typesIn = (file: Buffer) => readChunks(file).map(({ type }) => type)

t.test('a PNG without metadata stays as it is, even in pieces and with wrong checksums', async (t) => {
  const damaged = chunk('gAMA', '0123')
  damaged.writeUInt32BE(1, damaged.length - 4)
  const file = await withChunks(damaged, chunk('acTL', '01234567'), chunk('iCCP', 'a profile'))
  for (const what of BOTH) {
    t.ok(strip('png', file, what).equals(file), what)
    t.ok(strip('png', file, what, 20, 7).equals(file), `${what}, in pieces`)
    t.ok(strip('png', file.subarray(0, -30), what).equals(file.subarray(0, -30)), `${what}, cut off`)
  }
})

t.test('Exif and XMP of a PNG lose positions, and have the right checksum', async (t) => {
  const exif = chunk('eXIf', makeTiff(true, [ORIENTATION, ARTIST, GPS]))
  const file = await withChunks(exif, chunk('iTXt', `XML:com.adobe.xmp\0\0\0\0\0${XMP}`), chunk('tIME', '0123456'))
  const cleaned = strip('png', file, 'location')
  t.same(typesIn(cleaned), typesIn(file))
  t.notOk(cleaned.includes(SECRET))
  for (const kept of ['Plato\0', '"Plato"', '0123456']) t.ok(cleaned.includes(kept), kept)
  for (const { type, content, whole } of readChunks(cleaned)) t.ok(chunk(type, content).equals(whole), type)
  t.ok((await pixels(cleaned)).equals(await pixels(file)))

  const bare = strip('png', file, 'all')
  t.same(
    typesIn(bare),
    typesIn(file).filter((type) => type !== 'iTXt' && type !== 'tIME'),
  )
  t.notOk(bare.includes('Plato'))
  const orientation = readChunks(bare).find(({ type }) => type === 'eXIf')?.content ?? SECRET
  t.same([readOrientation(orientation), orientation.length], [6, 26])
  t.ok((await pixels(bare)).equals(await pixels(file)))
  for (const what of BOTH) t.same(cutsThatMatter('png', file.subarray(0, 900), what), [], what)
})

t.test('text of a PNG stays unless it names a place, or holds other metadata', async (t) => {
  const kept = [
    chunk('tEXt', 'Comment\0a word'),
    chunk('zTXt', Buffer.concat([Buffer.from('Title\0\0'), deflateSync('a word')])),
    chunk('iTXt', 'Author\0\0\0en\0\0Plato'),
  ]
  const removed = [
    chunk('tEXt', `exif:GPSLatitude\0${SECRET}`),
    chunk('iTXt', `Location\0\0\0\0\0${SECRET}`),
    chunk('tEXt', `Raw profile type APP1\0${SECRET}`),
    chunk('tEXt', `XML:com.adobe.xmp\0${XMP}`),
    chunk('iTXt', Buffer.concat([Buffer.from('XML:com.adobe.xmp\0\x01\0\0\0'), deflateSync(XMP)])),
    chunk('iTXt', `XML:com.adobe.xmp\0\0\0${SECRET}`),
    chunk('iTXt', `XML:com.adobe.xmp\0\0\0\0\0${XMP}${' '.repeat(300_000)}`),
    chunk('tEXt', `\0${SECRET}`),
    chunk('tEXt', `${'a'.repeat(100)}\0${SECRET}`),
  ]
  const file = await withChunks(...kept, ...removed)
  t.ok(strip('png', file, 'location').equals(await withChunks(...kept)))
  t.ok(strip('png', file, 'all').equals(await withChunks()))
  t.ok(strip('png', file, 'location', 50, 11).equals(await withChunks(...kept)))
})

t.test('chunks that cannot be inspected are removed from a PNG, and what follows its end', async (t) => {
  const file = await withChunks(chunk('caBX', SECRET), chunk('vpAg', SECRET), chunk('EXIF', SECRET), chunk('zxIf'))
  const plain = await withChunks()
  for (const what of BOTH) {
    t.ok(strip('png', Buffer.concat([file, chunk('eXIf', SECRET), SECRET]), what).equals(plain), what)
    const secretEnd = Buffer.concat([plain.subarray(0, -12), chunk('IEND', SECRET)])
    t.ok(strip('png', secretEnd, what).equals(plain), `${what}: an end with content`)
    const endless = Buffer.concat([plain.subarray(0, -12), Buffer.from('ffffffff', 'hex'), Buffer.from('tEXt'), SECRET])
    t.ok(strip('png', endless, what).equals(plain.subarray(0, -12)), `${what}: a length that cannot be`)
  }
})

t.test('Exif of a PNG that is broken or too large to hold is removed, except the orientation', async (t) => {
  const large = Buffer.concat([makeTiff(true, [ORIENTATION, ARTIST]), Buffer.alloc(300_000, SECRET)])
  for (const what of BOTH) {
    const result = strip('png', await withChunks(chunk('eXIf', large)), what)
    t.notOk(result.includes(SECRET), what)
    t.equal(readOrientation(readChunks(result).find(({ type }) => type === 'eXIf')?.content ?? SECRET), 6, what)
    t.notOk(strip('png', await withChunks(chunk('eXIf', SECRET)), what).includes(SECRET), `${what}: broken`)
    const cut = (await withChunks(chunk('eXIf', large))).subarray(0, 1000)
    t.ok(strip('png', cut, what).equals(cut.subarray(0, 33)), `${what}: cut off`)
  }
})

t.test('a PNG of small chunks of metadata ends after 100,000 of them', async (t) => {
  const unknown = chunk('abCd')
  const file = await withChunks(Buffer.alloc(unknown.length * 99_999, unknown))
  t.ok(strip('png', file, 'location').equals(await withChunks()))
  const more = await withChunks(Buffer.alloc(unknown.length * 100_000, unknown))
  t.equal(strip('png', more, 'location').length, 33)
})
