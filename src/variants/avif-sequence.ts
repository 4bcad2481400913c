import { readTrackSize } from '../images/avif.ts'
import { bigEndian, findBox, isEssential, makeBox, NO_FLAGS, readBoxes } from '../images/boxes.ts'
import { NO_BYTES } from '../images/scan.ts'

/** The first sample of a track (ISO/IEC 14496-12 section 8.3). */
interface Sample {
  readonly trackId: number
  /** Id of the track whose transparency this is. */
  readonly alphaOf: number | undefined
  readonly isPremultiplied: boolean
  /** Configuration and colours: boxes that are item properties too. */
  readonly properties: readonly Buffer[]
  readonly bytes: Buffer
}

/** Makes an AVIF image of the first sample of a sequence and that of its transparency. Returns undefined if it has none. */
export function firstImageOf(file: Buffer): Buffer | undefined {
  const tracks = readBoxes(findBox(file, 'moov') ?? NO_BYTES).filter(({ type }) => type === 'trak')
  const samples = tracks.map(({ content }) => firstSample(file, content)).filter((sample) => sample !== undefined)
  const colour = samples.find(({ alphaOf }) => alphaOf === undefined)
  if (!colour) return undefined
  const alpha = samples.find(({ alphaOf }) => alphaOf === colour.trackId)
  const fileType = makeBox('ftyp', Buffer.from('avif\0\0\0\0avifmif1miaf', 'latin1'))
  // The offsets depend on the length of the box that has them
  const start = fileType.length + metaBox(colour, alpha, 0).length + 8
  const data = alpha ? [colour.bytes, alpha.bytes] : [colour.bytes]
  return Buffer.concat([fileType, metaBox(colour, alpha, start), makeBox('mdat', ...data)])
}

/** Makes a `meta` box (section 8.11) of one or two items, whose bytes begin at `start`: 1 has the colours, 2 the transparency. */
function metaBox(colour: Sample, alpha: Sample | undefined, start: number): Buffer {
  const items = alpha ? [colour, alpha] : [colour]
  const numbers = items.map((_, index) => bigEndian(2, index + 1))
  const infos = numbers.map((number) =>
    makeBox('infe', bigEndian(4, 0x02000000), number, bigEndian(2, 0), Buffer.from('av01\0')),
  )
  const locations = items.flatMap(({ bytes }, index) => [
    bigEndian(2, index + 1, 0, 1),
    bigEndian(4, index === 0 ? start : start + colour.bytes.length, bytes.length),
  ])
  const references = [makeBox('auxl', bigEndian(2, 2, 1, 1))]
  if (colour.isPremultiplied) references.push(makeBox('prem', bigEndian(2, 1, 1, 2)))
  const auxiliary = makeBox('auxC', NO_FLAGS, Buffer.from('urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0'))
  const properties = items.map((item) => (item === alpha ? [...item.properties, auxiliary] : item.properties))
  return makeBox(
    'meta',
    NO_FLAGS,
    makeBox('hdlr', bigEndian(4, 0, 0), Buffer.from('pict'), Buffer.alloc(13)),
    makeBox('pitm', NO_FLAGS, bigEndian(2, 1)),
    makeBox('iloc', NO_FLAGS, bigEndian(2, 0x4400, items.length), ...locations),
    makeBox('iinf', NO_FLAGS, bigEndian(2, items.length), ...infos),
    ...(alpha ? [makeBox('iref', NO_FLAGS, ...references)] : []),
    makeBox('iprp', makeBox('ipco', ...properties.flat()), associationsBox(properties)),
  )
}

/** Makes an `ipma` box (section 8.11.14) for items from 1, whose properties are numbered in their order. */
function associationsBox(properties: readonly (readonly Buffer[])[]): Buffer {
  let last = 0
  const entries = properties.map((own, index) => {
    const numbers = own.map((box) => {
      last += 1
      return (isEssential(box.toString('latin1', 4, 8)) ? 0x80 : 0) + last
    })
    return Buffer.concat([bigEndian(2, index + 1), bigEndian(1, own.length, ...numbers)])
  })
  return makeBox('ipma', NO_FLAGS, bigEndian(4, properties.length), ...entries)
}

function firstSample(file: Buffer, track: Buffer): Sample | undefined {
  const header = findBox(track, 'tkhd')
  const table = findBox(track, 'mdia', 'minf', 'stbl')
  const entry = findBox((findBox(table, 'stsd') ?? NO_BYTES).subarray(8), 'av01')
  const sizes = findBox(table, 'stsz')
  const offset = readOffset(table)
  const frame = header && readTrackSize(header)
  if (!header || !frame || !entry || !sizes || sizes.length < 12 || offset === undefined) return undefined
  const size = sizes.readUInt32BE(4) || (sizes.length >= 16 ? sizes.readUInt32BE(12) : 0)
  const references = readBoxes(findBox(track, 'tref') ?? NO_BYTES)
  const alphaOf = references.find(({ type }) => type === 'auxl')?.content
  // The boxes of a visual sample entry come after 78 bytes (section 12.1.3)
  const described = readBoxes(entry.subarray(78)).filter(({ type }) => ['av1C', 'colr', 'pasp'].includes(type))
  return {
    trackId: header.readUInt32BE(header[0] === 1 ? 20 : 12),
    alphaOf: alphaOf && alphaOf.length >= 4 ? alphaOf.readUInt32BE() : undefined,
    isPremultiplied: references.some(({ type }) => type === 'prem'),
    properties: [
      makeBox('ispe', NO_FLAGS, bigEndian(4, frame.width, frame.height)),
      ...described.map(({ whole }) => whole),
    ],
    bytes: file.subarray(offset, offset + size),
  }
}

/** Returns the offset of the first chunk of samples in the file. */
function readOffset(table: Buffer | undefined): number | undefined {
  const short = findBox(table, 'stco')
  if (short && short.length >= 12) return short.readUInt32BE(8)
  const long = findBox(table, 'co64')
  return long && long.length >= 16 ? Number(long.readBigUInt64BE(8)) : undefined
}
