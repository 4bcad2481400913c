import sharp from 'sharp'
import t from 'tap'
import { UnremovableMetadata } from '../../../src/errors.ts'
import { findBox, readBoxes } from '../../../src/images/boxes.ts'
import { readLocations } from '../../../src/images/metadata/avif-items.ts'
import type { Stripped } from '../../../src/images/types.ts'
import { ALL } from '../../support/extent.ts'
import { box, fileType, makeImage } from '../../support/images.ts'
import { randomFrom } from '../../support/random.ts'
import { caseFile } from '../field-files.ts'
import { BOTH, cutsThatMatter, pixels, strip } from './strip-file.ts'
import { makeTiff, SECRET, type Tag } from './tiff.ts'

const GPS: Tag = { tag: 0x8825, directory: [{ tag: 29, type: 2, value: SECRET }] }
const ARTIST: Tag = { tag: 0x013b, type: 2, value: Buffer.from('Plato\0') }
const EXIF = Buffer.concat([long(6), Buffer.from('Exif\0\0'), makeTiff(true, [ARTIST, GPS])])
const XMP = Buffer.from(
  `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="${SECRET}" photoshop:Credit="Plato"/></rdf:RDF></x:xmpmeta>`,
)

function long(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index)
  return bytes
}

function short(...values: number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, 2 * index)
  return bytes
}

interface Item {
  readonly type: string
  /** After the type: a name and, for `mime`, a media type. */
  readonly texts?: string
  readonly content: Buffer
  readonly isInIndex?: boolean
  /** How many parts the content is in. */
  readonly parts?: number
  /** Takes these bytes of the first item instead of the content. */
  readonly shared?: readonly [start: number, length: number]
}

interface Layout {
  readonly items?: readonly Item[]
  readonly isDataFirst?: boolean
  /** Bytes of data before all. */
  readonly padding?: number
  readonly inMeta?: readonly Buffer[]
  readonly properties?: readonly Buffer[]
  readonly references?: readonly Buffer[]
  /** The number of the primary item. */
  readonly primary?: number
  /** Makes boxes after the index, from where the data of an item is. */
  readonly boxes?: (offsetOf: (item: number) => number) => Buffer[]
}

const EXIF_ITEM: Item = { type: 'Exif', content: EXIF }
const XMP_ITEM: Item = { type: 'mime', texts: '\0application/rdf+xml\0', content: XMP }

/** Lays out a real image, which becomes item 1, and others. */
async function avif(layout: Layout = {}): Promise<Buffer> {
  const image = await makeImage({ type: 'avif' })
  const children = readBoxes((findBox(image, 'meta') ?? image).subarray(4))
  const find = (type: string) => children.find((child) => child.type === type)?.content ?? Buffer.alloc(0)
  const [place] = [...readLocations(find('iloc'), undefined)][0]?.extents ?? []
  const items: Item[] = [{ type: 'av01', content: image.subarray(place?.start, place?.end) }, ...(layout.items ?? [])]
  const fileStart = Buffer.concat([fileType('avif', 'mif1', 'miaf'), box('free', Buffer.alloc(layout.padding ?? 0))])
  const inIndex = Buffer.concat(items.filter(({ isInIndex }) => isInIndex).map(({ content }) => content))
  const data = box('mdat', ...items.filter(({ isInIndex }) => !isInIndex).map(({ content }) => content))
  const properties = readBoxes(find('iprp'))
  const write = (dataStart: number) => {
    let [offset, indexOffset] = [dataStart + 8, 0]
    const starts: number[] = []
    const locations = items.map(({ content, isInIndex, parts = 1, shared }, index) => {
      starts.push(isInIndex ? indexOffset : offset)
      const start = shared ? (starts[0] ?? 0) + shared[0] : isInIndex ? indexOffset : offset
      if (isInIndex) indexOffset += content.length
      else offset += content.length
      const length = shared ? shared[1] : content.length
      const step = Math.ceil(length / parts)
      const extents = Array.from({ length: parts }, (_, part) =>
        long(start + part * step, Math.min(step, length - part * step)),
      )
      return Buffer.concat([short(index + 1, isInIndex ? 1 : 0, 0, parts), ...extents])
    })
    const infos = items.map(({ type, texts = '\0' }, index) =>
      box('infe', long(0x02000000), short(index + 1, 0), type, texts),
    )
    const meta = box(
      'meta',
      long(0),
      box('hdlr', long(0, 0), 'pict', Buffer.alloc(13)),
      box('pitm', long(0), short(layout.primary ?? 1)),
      box('iloc', long(0x01000000), short(0x4400, items.length), ...locations),
      box('iinf', long(0), short(items.length), ...infos),
      ...(layout.references ? [box('iref', long(0), ...layout.references)] : []),
      box(
        'iprp',
        box('ipco', properties[0]?.content ?? '', ...(layout.properties ?? [])),
        ...properties.slice(1).map(({ whole }) => whole),
      ),
      box('idat', inIndex),
      ...(layout.inMeta ?? []),
    )
    const index = [meta, ...(layout.boxes?.((item) => starts[item - 1] ?? 0) ?? [])]
    return Buffer.concat([fileStart, ...(layout.isDataFirst ? [data, ...index] : [...index, data])])
  }
  const withoutOffsets = write(0)
  return write(withoutOffsets.indexOf(data.subarray(0, 64)))
}

/** Where the box with the index ends. */
const endOfIndex = (file: Buffer) => file.indexOf('meta') - 4 + file.readUInt32BE(file.indexOf('meta') - 4)

const sameFrames = async (one: Buffer, other: Buffer) => (await pixels(one)).equals(await pixels(other))

t.test('an AVIF without metadata stays as it is', async (t) => {
  const transparent = await sharp({ create: { width: 20, height: 10, channels: 4, background: '#12345678' } })
    .avif({ effort: 0 })
    .toBuffer()
  const files = [await makeImage({ type: 'avif' }), transparent, await avif(), await avif({ isDataFirst: true })]
  for (const what of BOTH)
    for (const file of [...files, caseFile('a-clap.avif'), caseFile('a-nclx-p3.avif'), caseFile('a-alpha-prem.avif')]) {
      t.ok(strip('avif', file, what).equals(file), what)
      t.ok(strip('avif', file, what, 20, 7).equals(file), `${what}, in pieces`)
    }
  const cut = (await avif()).subarray(0, -30)
  const sequence = caseFile('a-sequence.avif')
  for (const what of BOTH) {
    t.ok(strip('avif', cut, what).equals(cut), `${what}, cut off`)
  }
  t.ok(strip('avif', sequence, 'location').equals(sequence), 'a sequence')
  const undated = strip('avif', sequence, 'all')
  t.same(
    undated.filter((byte, at) => byte !== sequence[at] && byte !== 0),
    [],
    'a sequence without dates',
  )
  t.ok(undated.subarray(undated.indexOf('mdat')).equals(sequence.subarray(sequence.indexOf('mdat'))))
})

t.test('an AVIF keeps its bytes in their place, and loses positions, or all of Exif and XMP', async (t) => {
  const layouts: Record<string, Layout> = {
    'after the index': { items: [EXIF_ITEM, XMP_ITEM] },
    'before the index': { items: [EXIF_ITEM, XMP_ITEM], isDataFirst: true },
    'in the index': {
      items: [
        { ...EXIF_ITEM, isInIndex: true },
        { ...XMP_ITEM, isInIndex: true },
      ],
    },
  }
  for (const what of BOTH)
    for (const [name, layout] of Object.entries(layouts)) {
      const file = await avif(layout)
      const result = strip('avif', file, what)
      t.equal(result.length, file.length)
      t.notOk(result.includes(SECRET), `${what}: metadata ${name}`)
      t.equal(result.includes('Plato\0'), what === 'location', `${what}: Exif ${name}`)
      t.equal(result.includes('"Plato"'), what === 'location', `${what}: XMP ${name}`)
      t.ok(await sameFrames(result, file), `${what}: pixels, with metadata ${name}`)
      t.same(cutsThatMatter('avif', file, what, endOfIndex(file)), [], `${what}: metadata ${name}, in pieces`)
    }
})

t.test('a picture stays in a box of no known type, up to the end of the file, that an index points into', async (t) => {
  const file = await avif({ items: [EXIF_ITEM, XMP_ITEM] })
  const damaged = Buffer.from(file).fill(0, endOfIndex(file), endOfIndex(file) + 8)
  for (const what of BOTH) {
    const result = strip('avif', damaged, what)
    t.notOk(result.includes(SECRET), what)
    t.ok(await sameFrames(result, file), what)
    t.same(cutsThatMatter('avif', damaged, what, endOfIndex(file)), [], `${what}, in pieces`)
  }
})

t.test('an index that is not in the head is held, and cleans what follows it', async (t) => {
  const file = await avif({ items: [EXIF_ITEM, { ...XMP_ITEM, isInIndex: true }], padding: 1000 })
  for (const what of BOTH) t.ok(strip('avif', file, what, 500, 100).equals(strip('avif', file, what)), what)
})

t.test('metadata before an index that is not in the head is refused by name, but pixels are not', async (t) => {
  for (const what of BOTH) {
    const file = await avif({ items: [EXIF_ITEM], isDataFirst: true })
    t.throws(() => strip('avif', file, what, file.indexOf('meta') - 4), UnremovableMetadata, what)
    const plain = await avif({ isDataFirst: true })
    t.ok(strip('avif', plain, what, plain.indexOf('meta') - 4, 100).equals(plain), `${what}: pixels alone`)
    const large = await avif({ inMeta: [box('free', Buffer.alloc(300_000))] })
    t.throws(() => strip('avif', large, what), UnremovableMetadata, `${what}: an index too large to read`)
    t.throws(() => strip('avif', large, what, 100, 65_536), UnremovableMetadata, `${what}: an index too large to hold`)
  }
})

t.test('metadata in several parts, or too large to hold, becomes zeros and has no reader in an AVIF', async (t) => {
  const layouts: Record<string, Layout> = {
    'in parts': {
      items: [
        { ...EXIF_ITEM, parts: 3 },
        { ...XMP_ITEM, parts: 2 },
      ],
    },
    'in parts, before': {
      items: [
        { ...EXIF_ITEM, parts: 3 },
        { ...XMP_ITEM, parts: 2 },
      ],
      isDataFirst: true,
    },
    large: { items: [{ ...EXIF_ITEM, content: Buffer.alloc(300_000, EXIF) }] },
  }
  for (const what of BOTH)
    for (const [name, layout] of Object.entries(layouts)) {
      const file = await avif(layout)
      const result = strip('avif', file, what, endOfIndex(file), 65_536)
      t.equal(result.length, file.length)
      for (const gone of [SECRET, 'Plato', 'infe\x02\0\0\0\0\x02\0\0Exif', 'rdf+xml'])
        t.notOk(result.includes(gone, 0, 'latin1'), `${what}: ${name}, ${gone}`)
      t.ok(await sameFrames(result, file))
    }
})

t.test('Exif that is broken loses everything in an AVIF', async (t) => {
  const blocks = [
    SECRET,
    Buffer.concat([long(1_000_000), SECRET]),
    Buffer.concat([long(5), SECRET]),
    Buffer.alloc(2, 'S'),
  ]
  for (const what of BOTH)
    for (const content of blocks) {
      const file = await avif({ items: [{ type: 'Exif', content }] })
      const result = strip('avif', file, what)
      t.equal(result.length, file.length)
      t.notOk(result.includes('SECRET'), what)
      t.ok(await sameFrames(result, file))
    }
})

t.test('items and boxes that cannot be inspected become zeros in an AVIF', async (t) => {
  const uuid = box('uuid', Buffer.alloc(16, 'u'), SECRET)
  const items = [
    { type: 'uri ', texts: '\0urn:SECRET-PLACE\0', content: SECRET },
    { type: 'mime', texts: '\0application/json\0', content: SECRET },
    { type: 'mime', texts: '\0application/rdf+xml\0deflate\0', content: SECRET },
    { type: 'abcd', content: SECRET, isInIndex: true },
  ]
  const file = await avif({
    items,
    inMeta: [uuid, box('udta', SECRET), box('xml ', SECRET)],
    properties: [uuid],
    boxes: () => [uuid, box('udta', SECRET), box('free', SECRET), box('mpvd', SECRET)],
  })
  for (const what of BOTH) {
    const result = strip('avif', file, what)
    t.equal(result.length, file.length)
    t.notOk(result.includes(SECRET), what)
    t.ok(await sameFrames(result, file))
    t.same(cutsThatMatter('avif', file, what, endOfIndex(file)), [], what)
  }
})

t.test('a description stays if only positions go', async (t) => {
  const file = await avif({ properties: [box('udes', long(0), 'en\0a word\0\0\0')] })
  t.ok(strip('avif', file, 'location').equals(file))
  t.notOk(strip('avif', file, 'all').includes('a word'))
})

t.test('what follows an AVIF is removed', async (t) => {
  const file = await avif()
  const video = Buffer.concat([fileType('isom', 'mp42'), box('moov', box('udta', SECRET))])
  for (const what of BOTH)
    for (const more of [
      SECRET.subarray(0, 6),
      video,
      Buffer.concat([long(4), SECRET]),
      Buffer.concat([long(0), SECRET]),
    ])
      t.ok(strip('avif', Buffer.concat([file, more]), what).equals(file), `${what}: ${more.length} bytes`)
})

t.test('metadata that shares bytes with the picture loses its name, and the picture stays', async (t) => {
  for (const what of BOTH)
    for (const isDataFirst of [false, true])
      for (const shared of [[10, 40] as const, [5, 300] as const]) {
        const file = await avif({ items: [{ ...EXIF_ITEM, content: Buffer.alloc(0), shared }], isDataFirst })
        const result = strip('avif', file, what)
        t.ok(await sameFrames(result, file), `${what}: ${shared}`)
        t.notOk(result.includes('Exif'), `${what}: ${shared}`)
      }
})

t.test('an Exif item that is named the image, or that a second index names, keeps no position', async (t) => {
  for (const what of BOTH) {
    const named = strip('avif', await avif({ items: [EXIF_ITEM], primary: 2 }), what)
    t.notOk(named.includes(SECRET), what)
    const file = await avif({ items: [{ ...EXIF_ITEM, isInIndex: true }] })
    const meta = file.subarray(file.indexOf('meta') - 4, endOfIndex(file))
    const second = strip('avif', Buffer.concat([await avif(), meta]), what)
    t.notOk(second.includes('Exif'), `${what}: a second index`)
    const iloc = box('iloc', long(0x01000000), short(0x4400, 1, 2, 0, 0, 1), long(0, 100))
    const twice = strip('avif', await avif({ inMeta: [iloc, box('iinf', long(0), short(1), SECRET)] }), what)
    t.notOk(twice.includes(SECRET), `${what}: a second list of items`)
  }
})

t.test('an index that names more than 10,000 places is refused by name', async (t) => {
  const items = (count: number): Item[] => [{ type: 'abcd', content: Buffer.alloc(20_000), parts: count }]
  const file = await avif({ items: items(10_000) })
  t.equal(strip('avif', file, 'location').length, file.length)
  const larger = await avif({ items: items(10_001) })
  t.throws(() => strip('avif', larger, 'location'), UnremovableMetadata)
})

t.test('two items with the same bytes are cleaned once, and with some of the same become zeros', async (t) => {
  const start = (await avif()).length
  const image = await avif({ items: [EXIF_ITEM] })
  const offset = image.indexOf(EXIF) - (await placeOf(image))
  t.ok(start < image.length)
  for (const isDataFirst of [false, true]) {
    const again = { ...EXIF_ITEM, content: Buffer.alloc(0), shared: [offset, EXIF.length] as const }
    const twice = strip('avif', await avif({ items: [EXIF_ITEM, again], isDataFirst }), 'location')
    t.ok(twice.includes('Plato'))
    t.notOk(twice.includes(SECRET))
    const part = { ...again, shared: [offset + 20, 30] as const }
    const mixed = strip('avif', await avif({ items: [EXIF_ITEM, part], isDataFirst }), 'location')
    for (const gone of ['Plato', SECRET, 'Exif']) t.notOk(mixed.includes(gone), `${gone}`)
  }
})

async function placeOf(file: Buffer): Promise<number> {
  const iloc = findBox(findBox(file, 'meta')?.subarray(4), 'iloc') ?? Buffer.alloc(0)
  return [...readLocations(iloc, undefined)][0]?.extents[0]?.start ?? 0
}

/** A track with all its samples in one chunk. */
function track(handler: string, start: number, ...sizes: readonly number[]): Buffer {
  const tables = [
    box('stsd', long(0, 1), box(handler === 'meta' ? 'mett' : 'av01', Buffer.alloc(78))),
    box('stts', long(0, 1, sizes.length, 1)),
    box('stsc', long(0, 1, 1, sizes.length, 1)),
    box('stsz', long(0, 0, sizes.length, ...sizes)),
    box('stco', long(0, 1, start)),
  ]
  const media = box(
    'mdia',
    box('mdhd', long(0, 1_234_567_890, 1_234_567_890, 1000, 1000, 0)),
    box('hdlr', long(0, 0), handler, Buffer.alloc(13)),
    box('minf', box('stbl', ...tables), box('abcd', SECRET)),
  )
  return box('trak', box('tkhd', Buffer.alloc(84)), media, box('udta', SECRET))
}

t.test('tracks of pictures stay in an AVIF, and those of anything else become zeros with their samples', async (t) => {
  const hidden = { type: 'av01', content: Buffer.concat([SECRET, SECRET]) }
  const samples = { type: 'av01', content: Buffer.from('pixels of a sequence') }
  for (const what of BOTH)
    for (const isDataFirst of [false, true]) {
      const file = await avif({
        isDataFirst,
        boxes: (offsetOf) => [
          box(
            'moov',
            box('mvhd', Buffer.alloc(100)),
            track('pict', offsetOf(3), 10, 10),
            track('meta', offsetOf(2), SECRET.length, SECRET.length),
          ),
        ],
        items: [{ ...hidden, type: 'abcd' }, samples],
      })
      const result = strip('avif', file, what)
      t.equal(result.length, file.length)
      t.notOk(result.includes(SECRET), what)
      t.notOk(result.includes('mett'), what)
      t.ok(result.includes('pixels of a sequence'), what)
      t.equal(result.includes(long(1_234_567_890)), what === 'location', `${what}: dates`)
    }
})

t.test('samples of metadata are found by a fixed size, in groups, and by large offsets', async (t) => {
  const table =
    (sizes: Buffer, offsets: (start: number) => Buffer, groups = long(0, 1, 1, 2, 1)) =>
    (start: number) =>
      box(
        'moov',
        box(
          'trak',
          box(
            'mdia',
            box('hdlr', long(0, 0), 'meta', Buffer.alloc(13)),
            box('minf', box('stbl', box('stsc', groups), sizes, offsets(start))),
          ),
        ),
      )
  const n = SECRET.length
  const movies = {
    fixed: table(box('stsz', long(0, n, 2)), (start) => box('stco', long(0, 1, start))),
    large: table(box('stsz', long(0, 0, 2, n, n)), (start) => box('co64', long(0, 1, 0, start))),
    groups: table(
      box('stsz', long(0, 0, 2, n, n)),
      (start) => box('stco', long(0, 3, start, 0, start + n)),
      long(0, 3, 1, 1, 1, 2, 0, 1, 3, 1, 1),
    ),
  }
  const items = [{ type: 'sound', content: Buffer.alloc(0) }]
  for (const [name, movie] of Object.entries(movies)) {
    const image = await avif({ items })
    const file = Buffer.concat([image, movie(image.length + 0), box('mdat', SECRET, SECRET)])
    const start = file.indexOf(SECRET)
    const placed = Buffer.concat([image, movie(start), box('mdat', SECRET, SECRET)])
    t.notOk(strip('avif', placed, 'location').includes('SECRET'), name)
  }
  const missing = box('moov', box('trak', box('mdia', box('hdlr', long(0, 0), 'meta', Buffer.alloc(13)))))
  t.throws(() => strip('avif', Buffer.concat([fileType('avis'), missing]), 'location'), UnremovableMetadata)
})

t.test('an embedded thumbnail stays if only positions go', async (t) => {
  const thumbnail = { type: 'av01', content: Buffer.from('a small picture') }
  const file = await avif({ items: [thumbnail], references: [box('thmb', short(2, 1, 1))] })
  t.ok(strip('avif', file, 'location').equals(file))
  const result = strip('avif', file, 'all')
  t.notOk(result.includes('a small picture'))
  t.ok(await sameFrames(result, file))
  const used = await avif({
    items: [{ ...thumbnail, content: Buffer.alloc(0), shared: [0, 50] }],
    references: [box('thmb', short(2, 1, 1))],
  })
  t.ok(strip('avif', used, 'all').equals(used), 'one that shares bytes with the picture stays')
})

t.test('a thumbnail that is a JPEG stays without metadata of its own if only positions go', async (t) => {
  const jpeg = await makeImage({ type: 'jpg' })
  const comment = Buffer.concat([Buffer.from([0xff, 0xfe, 0, 2 + SECRET.length]), Buffer.from(SECRET)])
  const content = Buffer.concat([jpeg.subarray(0, 2), comment, jpeg.subarray(2)])
  const file = await avif({ items: [{ type: 'jpeg', content }], references: [box('thmb', short(2, 1, 1))] })
  const result = strip('avif', file, 'location')
  t.equal(result.length, file.length)
  t.notOk(result.includes(SECRET))
  t.ok(result.includes(jpeg.subarray(2)))
  t.ok(await sameFrames(result, file))
  t.notOk(strip('avif', file, 'all').includes(jpeg.subarray(2)))
})

const ROUNDS = ALL ? 5000 : 200

t.test('a damaged index never makes an AVIF longer, and never ends in another error', async (t) => {
  const random = randomFrom(1)
  const file = await avif({ items: [EXIF_ITEM, { ...XMP_ITEM, isInIndex: true }], properties: [box('udes', SECRET)] })
  for (let round = 0; round < ROUNDS; round += 1) {
    const damaged = Buffer.from(file)
    for (let n = 0; n < 1 + (round % 4); n += 1)
      damaged[Math.floor(random() * endOfIndex(file))] = Math.floor(random() * 256)
    for (const what of BOTH as readonly Stripped[]) {
      try {
        const result = strip('avif', damaged, what, damaged.length - 100, 33)
        if (result.length > damaged.length) t.fail(`round ${round}: longer than before`)
      } catch (error) {
        if (!(error instanceof UnremovableMetadata)) throw error
      }
    }
  }
})
