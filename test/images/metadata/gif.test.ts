import t from 'tap'
import { makeImage } from '../../support/images.ts'
import { BOTH, cutsThatMatter, pixels, strip } from './strip-file.ts'
import { SECRET } from './tiff.ts'

/** An extension, whose data is in one block. */
function extension(label: number, content: Buffer | string): Buffer {
  const bytes = Buffer.from(content)
  return Buffer.concat([Buffer.from([0x21, label, bytes.length]), bytes, Buffer.alloc(1)])
}

function application(name: string, ...blocks: (Buffer | string)[]): Buffer {
  const contents = blocks.map((block) => Buffer.concat([Buffer.from([block.length]), Buffer.from(block)]))
  return Buffer.concat([Buffer.from([0x21, 0xff, name.length]), Buffer.from(name), ...contents, Buffer.alloc(1)])
}

/** XMP is not in blocks: 258 bytes after it lead a reader to the end wherever it arrives (XMP part 3, section 1.1.2). */
const XMP = Buffer.concat([
  Buffer.from([0x21, 0xff, 11]),
  Buffer.from(`XMP DataXMP<x:xmpmeta>${SECRET}</x:xmpmeta>`),
  Buffer.from([1, ...Array.from({ length: 256 }, (_, at) => 255 - at), 0]),
])
const COMMENT = extension(0xfe, 'a word')
/** What stays in any case: loops, a profile, text that is drawn. */
const PICTURE = [
  application('NETSCAPE2.0', Buffer.from([1, 5, 0])),
  application('ANIMEXTS1.0', Buffer.from([1, 5, 0])),
  application('ICCRGBG1012', 'a profile', 'of two blocks'),
]
const METADATA = [
  XMP,
  application('MGKIPTC0000', SECRET),
  application('C2PA_GIF\x01\0\0', SECRET),
  extension(0x22, SECRET),
]

/** An animation with further blocks before its first frame and before its end. */
async function withBlocks(...blocks: readonly Buffer[]): Promise<Buffer> {
  const file = await makeImage({ type: 'gif', width: 8, height: 6, animated: true })
  const start = 13 + ((file[10] ?? 0) & 0x80 ? 3 * 2 ** (((file[10] ?? 0) & 7) + 1) : 0)
  return Buffer.concat([file.subarray(0, start), ...blocks, file.subarray(start, -1), ...blocks, file.subarray(-1)])
}

t.test('a GIF keeps its frames, loops, profile and text, and a comment if only positions go', async (t) => {
  const file = await withBlocks(...PICTURE, COMMENT)
  t.ok(strip('gif', file, 'location').equals(file))
  t.ok(strip('gif', file, 'location', 20, 7).equals(file), 'in pieces')
  const cut = (await withBlocks(...PICTURE)).subarray(0, -150)
  t.ok(strip('gif', cut, 'location').equals(cut), 'cut off')
  t.ok(strip('gif', file, 'all').equals(await withBlocks(...PICTURE)))
})

t.test('a GIF whose data ends twice keeps its frames, and loses the metadata after them', async (t) => {
  const file = await makeImage({ type: 'gif', width: 8, height: 6, animated: true })
  const second = file.lastIndexOf(Buffer.from([0, 0x21, 0xf9])) + 1
  const damaged = Buffer.concat([
    file.subarray(0, second),
    Buffer.from([0x21, 0xf9, 0, 0]),
    file.subarray(second + 8, -1),
  ])
  for (const what of BOTH) {
    const result = strip('gif', Buffer.concat([damaged, ...METADATA, Buffer.alloc(2), file.subarray(-1)]), what)
    t.ok((await pixels(result)).equals(await pixels(damaged)), what)
    t.ok(result.equals(Buffer.concat([damaged, file.subarray(-1)])))
    t.ok(strip('gif', damaged, what, 5, 1).equals(damaged), 'in pieces')
  }
})

t.test('a GIF loses XMP and what cannot be inspected, and what follows its end', async (t) => {
  const file = Buffer.concat([await withBlocks(...METADATA, COMMENT, ...METADATA), SECRET])
  const kept = { location: await withBlocks(COMMENT), all: await withBlocks() }
  for (const what of BOTH) {
    const result = strip('gif', file, what)
    t.ok(result.equals(kept[what]), what)
    const plain = await pixels(kept[what])
    for (const block of METADATA)
      t.ok((await pixels(await withBlocks(block))).equals(plain), `${what}: the frames are the same`)
    t.same(cutsThatMatter('gif', file, what), [], what)
  }
})

t.test('an application extension without a name is removed', async (t) => {
  const empty = Buffer.from([0x21, 0xff, 0])
  for (const what of BOTH)
    t.ok(strip('gif', await withBlocks(empty, application('short', SECRET)), what).equals(await withBlocks()), what)
})

t.test('a GIF ends at a block that no decoder knows', async (t) => {
  const plain = await withBlocks()
  for (const what of BOTH)
    t.ok(strip('gif', Buffer.concat([plain.subarray(0, -1), Buffer.from([0x99]), SECRET]), what).equals(plain))
})

t.test('a GIF of small blocks of metadata ends after 100,000 of them', async (t) => {
  const unknown = extension(0x22, 'a')
  const file = await withBlocks(Buffer.alloc(unknown.length * 49_999, unknown))
  t.ok(strip('gif', file, 'all').equals(await withBlocks()))
  const more = await withBlocks(Buffer.alloc(unknown.length * 100_000, unknown))
  t.ok(strip('gif', more, 'all').length < 13 + 3 * 256 + 1)
})
