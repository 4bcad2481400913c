import { readAssociations, readPrimaryItem, readTrackSize } from '../images/avif.ts'
import { NO_BYTES } from '../images/scan.ts'
import { fromCodePoints, iccProfile, SRGB } from './icc.ts'
import type { Source } from './source.ts'

interface Box {
  readonly type: string
  readonly content: Buffer
  /** Of the box, in what was read. */
  readonly start: number
  readonly end: number
}

/** Most boxes side by side that are looked at: those of a sequence have some tens. */
const MOST_BOXES = 10_000

/** The boxes side by side in `bytes` (ISO/IEC 14496-12 section 4.2), up to one that does not end in there. */
function boxesIn(bytes: Buffer): Box[] {
  const boxes: Box[] = []
  for (let start = 0; start + 8 <= bytes.length && boxes.length < MOST_BOXES; ) {
    let size = bytes.readUInt32BE(start)
    let content = start + 8
    if (size === 1 && start + 16 <= bytes.length) {
      size = Number(bytes.readBigUInt64BE(content))
      content += 8
    } else if (size === 0) size = bytes.length - start
    const end = start + size
    if (end < content || end > bytes.length) break
    boxes.push({
      type: bytes.toString('latin1', start + 4, start + 8),
      content: bytes.subarray(content, end),
      start,
      end,
    })
    start = end
  }
  return boxes
}

function find(bytes: Buffer | undefined, ...path: string[]): Buffer | undefined {
  return path.reduce<Buffer | undefined>(
    (inside, type) => inside && boxesIn(inside).find((box) => box.type === type)?.content,
    bytes,
  )
}

function makeBox(type: string, ...content: Buffer[]): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(8), ...content])
  bytes.writeUInt32BE(bytes.length)
  bytes.write(type, 4, 'latin1')
  return bytes
}

function bigEndian(length: number, ...values: number[]): Buffer {
  const bytes = Buffer.alloc(length * values.length)
  for (const [index, value] of values.entries()) bytes.writeUIntBE(value, index * length, length)
  return bytes
}

const NO_FLAGS = bigEndian(4, 0)

/**
 * Rewrites an AVIF so that libvips sees what browsers see. A sequence becomes an image: its primary item or, without one, its first sample. The colour space
 * that `nclx` gives without an ICC profile becomes a profile.
 */
export function avifSource(file: Buffer): Source {
  const [type, ...boxes] = boxesIn(file)
  if (type?.type !== 'ftyp') return { bytes: file }
  const meta = boxes.find((box) => box.type === 'meta')
  if (!meta || readPrimary(meta.content) === undefined) {
    const still = stillOf(file)
    return still ? avifSource(still) : { bytes: file }
  }
  const children = meta.content.subarray(4)
  const primary = readPrimary(meta.content) ?? 0
  const profiled = withProfile(meta.content, primary)
  const isPremultiplied = boxesIn((find(children, 'iref') ?? NO_FLAGS).subarray(4)).some(
    ({ type, content }) => type === 'prem' && content.length >= 2 && content.readUInt16BE() === primary,
  )
  const isSequence = file.toString('latin1', 8, 12) !== 'avif'
  if (!profiled && !isSequence) return { bytes: file, isPremultiplied }

  // At the end of the file, since offsets count from its start
  const bytes = Buffer.concat([file, ...(profiled ? [profiled] : [])])
  if (profiled) {
    bytes.write('free', meta.start + 4, 'latin1')
    const last = boxes.at(-1)
    // A box that goes up to the end of the file
    if (last && file.readUInt32BE(last.start) === 0) bytes.writeUInt32BE(last.end - last.start, last.start)
  }
  // libvips knows no sequence by its brand
  bytes.write('avif', 8, 'latin1')
  return { bytes, isPremultiplied }
}

function readPrimary(meta: Buffer): number | undefined {
  const pitm = find(meta.subarray(4), 'pitm')
  return pitm && readPrimaryItem(pitm)
}

/** The `meta` box with an ICC profile for the primary item; undefined if it needs none. */
function withProfile(meta: Buffer, primary: number): Buffer | undefined {
  const children = boxesIn(meta.subarray(4))
  const iprp = children.find((box) => box.type === 'iprp')
  if (!iprp) return undefined
  const parts = boxesIn(iprp.content)
  const ipco = parts.find((box) => box.type === 'ipco')
  const ipma = parts.find((box) => box.type === 'ipma' && readAssociations(box.content).has(primary))
  if (!ipco || !ipma) return undefined
  const properties = boxesIn(ipco.content)
  const associations = readAssociations(ipma.content)
  const own = associations.get(primary) ?? []
  const colours = own.map((index) => properties[index - 1]).filter((property) => property?.type === 'colr')
  const nclx = colours.find((colour) => colour?.content.toString('latin1', 0, 4) === 'nclx')?.content
  if (!nclx || nclx.length < 8 || colours.length > 1) return undefined
  const [primaries, transfer] = [nclx.readUInt16BE(4), nclx.readUInt16BE(6)]
  const space = fromCodePoints(
    primaries === UNSPECIFIED ? BT709 : primaries,
    TELEVISION.includes(transfer) ? SRGB_TRANSFER : transfer,
  )
  if (!space || space === SRGB) return undefined

  const isGrey = own.some((index) => properties[index - 1]?.type === 'pixi' && properties[index - 1]?.content[4] === 1)
  const colr = makeBox('colr', Buffer.from('prof'), iccProfile(space, isGrey))
  const entries = [...associations].map(([id, indexes]) => {
    const all = id === primary ? [...indexes, properties.length + 1] : indexes
    const essential = all.map((index) => (isEssential(properties[index - 1]?.type) ? 0x8000 : 0) + index)
    return Buffer.concat([bigEndian(4, id), bigEndian(1, all.length), bigEndian(2, ...essential)])
  })
  // Version 1 has 32 bits for items, flag 1 says 16 bits for properties
  const rebuilt = makeBox('ipma', bigEndian(4, 0x01000001, entries.length), ...entries)
  const others = parts.filter((box) => box !== ipco && box !== ipma)
  const whole = (box: Box, inside: Buffer) => inside.subarray(box.start, box.end)
  const newIprp = makeBox(
    'iprp',
    makeBox('ipco', ipco.content, colr),
    rebuilt,
    ...others.map((box) => whole(box, iprp.content)),
  )
  return makeBox(
    'meta',
    meta.subarray(0, 4),
    ...children.map((box) => (box === iprp ? newIprp : whole(box, meta.subarray(4)))),
  )
}

/** The curves of television (ITU-T H.273 table 3), which browsers take for that of sRGB here, and not in a PNG. */
const UNSPECIFIED = 2
const BT709 = 1
const TELEVISION = [1, UNSPECIFIED, 6, 14, 15]
const SRGB_TRANSFER = 13

/** Properties that a reader has to know (MIAF, AVIF section 2.2.1): the decoder's configuration, and what turns or cuts. */
function isEssential(type = ''): boolean {
  return ['av1C', 'clap', 'irot', 'imir', 'a1op', 'lsel'].includes(type)
}

/** What of a track (ISO/IEC 14496-12 section 8.3) makes its first picture. */
interface FirstSample {
  readonly id: number
  /** Of the track that it belongs to, as its transparency. */
  readonly alphaOf: number | undefined
  readonly isPremultiplied: boolean
  readonly size: Buffer
  /** Configuration and colours: boxes that are item properties as well. */
  readonly properties: readonly Buffer[]
  readonly bytes: Buffer
}

/** An image of the first sample of a sequence, and of that of its transparency. */
function stillOf(file: Buffer): Buffer | undefined {
  const tracks = boxesIn(find(file, 'moov') ?? NO_BYTES).filter((box) => box.type === 'trak')
  const samples = tracks.map(({ content }) => firstSample(file, content)).filter((sample) => sample !== undefined)
  const picture = samples.find((sample) => sample.alphaOf === undefined)
  if (!picture) return undefined
  const alpha = samples.find((sample) => sample.alphaOf === picture.id)
  const items = alpha ? [picture, alpha] : [picture]
  const properties: Buffer[] = []
  const entries = items.map((item, index) => {
    const first = properties.length + 1
    const own = [makeBox('ispe', NO_FLAGS, item.size), ...item.properties]
    if (item === alpha)
      own.push(makeBox('auxC', NO_FLAGS, Buffer.from('urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0')))
    properties.push(...own)
    const numbers = own.map((box, at) => (isEssential(box.toString('latin1', 4, 8)) ? 0x80 : 0) + first + at)
    return Buffer.concat([bigEndian(2, index + 1), bigEndian(1, numbers.length, ...numbers)])
  })
  const fileType = makeBox('ftyp', Buffer.from('avif\0\0\0\0avifmif1miaf', 'latin1'))
  const metaWith = (offsets: readonly number[]) => {
    const locations = items.map(({ bytes }, index) =>
      Buffer.concat([bigEndian(2, index + 1, 0, 1), bigEndian(4, offsets[index] ?? 0, bytes.length)]),
    )
    const infos = items.map((_, index) =>
      makeBox('infe', bigEndian(4, 0x02000000), bigEndian(2, index + 1, 0), Buffer.from('av01\0')),
    )
    const references = alpha
      ? [
          makeBox(
            'iref',
            NO_FLAGS,
            makeBox('auxl', bigEndian(2, 2, 1, 1)),
            ...(picture.isPremultiplied ? [makeBox('prem', bigEndian(2, 1, 1, 2))] : []),
          ),
        ]
      : []
    return makeBox(
      'meta',
      NO_FLAGS,
      makeBox('hdlr', bigEndian(4, 0, 0), Buffer.from('pict'), Buffer.alloc(13)),
      makeBox('pitm', NO_FLAGS, bigEndian(2, 1)),
      makeBox('iloc', NO_FLAGS, bigEndian(2, 0x4400, items.length), ...locations),
      makeBox('iinf', NO_FLAGS, bigEndian(2, items.length), ...infos),
      ...references,
      makeBox(
        'iprp',
        makeBox('ipco', ...properties),
        makeBox('ipma', NO_FLAGS, bigEndian(4, items.length), ...entries),
      ),
    )
  }
  const start = fileType.length + metaWith([]).length + 8
  const meta = metaWith([start, start + picture.bytes.length])
  return Buffer.concat([fileType, meta, makeBox('mdat', ...items.map(({ bytes }) => bytes))])
}

function firstSample(file: Buffer, track: Buffer): FirstSample | undefined {
  const header = find(track, 'tkhd')
  const table = find(track, 'mdia', 'minf', 'stbl')
  const entry = find((find(table, 'stsd') ?? NO_BYTES).subarray(8), 'av01')
  const sizes = find(table, 'stsz')
  const offset = readOffset(table)
  const picture = header && readTrackSize(header)
  if (!header || !picture || !entry || !sizes || sizes.length < 12 || offset === undefined) return undefined
  const size = sizes.readUInt32BE(4) || (sizes.length >= 16 ? sizes.readUInt32BE(12) : 0)
  const references = boxesIn(find(track, 'tref') ?? NO_BYTES)
  const alphaOf = references.find((box) => box.type === 'auxl')?.content
  // A visual sample entry has 78 bytes before its boxes (section 12.1.3)
  const inEntry = entry.subarray(78)
  return {
    id: header.readUInt32BE(header[0] === 1 ? 20 : 12),
    alphaOf: alphaOf && alphaOf.length >= 4 ? alphaOf.readUInt32BE() : undefined,
    isPremultiplied: references.some((box) => box.type === 'prem'),
    size: bigEndian(4, picture.width, picture.height),
    properties: boxesIn(inEntry)
      .filter((box) => ['av1C', 'colr', 'pasp'].includes(box.type))
      .map(({ start, end }) => inEntry.subarray(start, end)),
    bytes: file.subarray(offset, offset + size),
  }
}

/** Where the first chunk of samples lies in the file. */
function readOffset(table: Buffer | undefined): number | undefined {
  const short = find(table, 'stco')
  if (short && short.length >= 12) return short.readUInt32BE(8)
  const long = find(table, 'co64')
  return long && long.length >= 16 ? Number(long.readBigUInt64BE(8)) : undefined
}
