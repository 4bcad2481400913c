import { readAssociations, readPrimaryItem } from '../images/avif.ts'
import { bigEndian, findBox, isEssential, makeBox, NO_FLAGS, readBoxes } from '../images/boxes.ts'
import { firstImageOf } from './avif-sequence.ts'
import { type ColourSpace, fromCodePoints, iccProfile, SRGB } from './icc.ts'
import type { Source } from './source.ts'

/**
 * Rewrites an AVIF so that libvips sees what browsers see. A sequence becomes an image: its primary item or, without one, its first
 * sample. A colour space that `nclx` gives without an ICC profile becomes a profile.
 */
export function avifSource(file: Buffer): Source {
  const [type, ...boxes] = readBoxes(file)
  if (type?.type !== 'ftyp') return { bytes: file }
  const meta = boxes.find((box) => box.type === 'meta')
  const primary = meta && readPrimary(meta.content)
  if (!meta || primary === undefined) {
    const image = firstImageOf(file)
    return image ? avifSource(image) : { bytes: file }
  }
  const references = findBox(meta.content.subarray(4), 'iref') ?? NO_FLAGS
  const isPremultiplied = readBoxes(references.subarray(4)).some(
    ({ type, content }) => type === 'prem' && content.length >= 2 && content.readUInt16BE() === primary,
  )
  const profiled = withProfile(meta.content, primary)
  const isSequence = file.toString('latin1', 8, 12) !== 'avif'
  if (!profiled && !isSequence) return { bytes: file, isPremultiplied }

  // At the end of the file, since offsets count from its start
  const bytes = Buffer.concat([file, ...(profiled ? [profiled] : [])])
  if (profiled) {
    bytes.write('free', meta.start + 4, 'latin1')
    const last = boxes.at(-1)
    // A box of size 0 would reach to the new end of the file
    if (last && file.readUInt32BE(last.start) === 0) bytes.writeUInt32BE(last.whole.length, last.start)
  }
  // libvips does not know the brands of sequences
  bytes.write('avif', 8, 'latin1')
  return { bytes, isPremultiplied }
}

function readPrimary(meta: Buffer): number | undefined {
  const pitm = findBox(meta.subarray(4), 'pitm')
  return pitm && readPrimaryItem(pitm)
}

/** Returns a `meta` box with an ICC profile for the primary item, or undefined if it needs none. */
function withProfile(meta: Buffer, primary: number): Buffer | undefined {
  const children = readBoxes(meta.subarray(4))
  const iprp = children.find((box) => box.type === 'iprp')
  const parts = iprp ? readBoxes(iprp.content) : []
  const ipco = parts.find((box) => box.type === 'ipco')
  const ipma = parts.find((box) => box.type === 'ipma' && readAssociations(box.content).has(primary))
  if (!ipco || !ipma) return undefined
  const properties = readBoxes(ipco.content)
  const associations = readAssociations(ipma.content)
  const own = (associations.get(primary) ?? [])
    .map((number) => properties[number - 1])
    .filter((box) => box !== undefined)
  const colours = own.filter(({ type }) => type === 'colr')
  const space = colours.length === 1 && colours[0] ? colourSpaceOf(colours[0].content) : undefined
  if (!space || space === SRGB) return undefined

  const isGrey = own.some(({ type, content }) => type === 'pixi' && content[4] === 1)
  const colr = makeBox('colr', Buffer.from('prof'), iccProfile(space, isGrey))
  const entries = [...associations].map(([id, own]) => {
    const numbers = id === primary ? [...own, properties.length + 1] : own
    const flagged = numbers.map((number) => (isEssential(properties[number - 1]?.type ?? '') ? 0x8000 : 0) + number)
    return Buffer.concat([bigEndian(4, id), bigEndian(1, numbers.length), bigEndian(2, ...flagged)])
  })
  // Version 1 has 32 bits for items, flag 1 says 16 bits for properties
  const newIpma = makeBox('ipma', bigEndian(4, 0x01000001, entries.length), ...entries)
  const others = parts.filter((box) => box !== ipco && box !== ipma)
  const newIprp = makeBox('iprp', makeBox('ipco', ipco.content, colr), newIpma, ...others.map(({ whole }) => whole))
  return makeBox('meta', meta.subarray(0, 4), ...children.map((box) => (box === iprp ? newIprp : box.whole)))
}

/** Code points of ITU-T H.273, tables 2 and 3. Here browsers take the curves of television for that of sRGB, but not in a PNG. */
const UNSPECIFIED = 2
const BT709 = 1
const TELEVISION = [1, UNSPECIFIED, 6, 14, 15]
const SRGB_TRANSFER = 13

function colourSpaceOf(colr: Buffer): ColourSpace | undefined {
  if (colr.toString('latin1', 0, 4) !== 'nclx' || colr.length < 8) return undefined
  const [primaries, transfer] = [colr.readUInt16BE(4), colr.readUInt16BE(6)]
  return fromCodePoints(
    primaries === UNSPECIFIED ? BT709 : primaries,
    TELEVISION.includes(transfer) ? SRGB_TRANSFER : transfer,
  )
}
