import { crc32 } from 'node:zlib'
import { chance, oneOf } from '../support/random.ts'

type Random = () => number
type Mutation = (file: Buffer, random: Random, others: readonly Buffer[]) => Buffer

const under = (limit: number, random: Random) => Math.floor(random() * limit)

/** What begins blocks of metadata, and the boxes of AVIF that say where they are. */
const LANDMARKS =
  'Exif\0|II*\0|MM\0*|http://ns.adobe|<x:xmpmeta|<rdf|GPS|8BIM|ICC_|JFIF|\xff\xda|\xff\xd9|IHDR|eXIf|iTXt|tEXt|IDAT|IEND|!\xff|!\xfe|!\xf9|VP8|ANMF|EXIF|XMP |meta|iloc|iinf|infe|iref|ipco|mdat'
    .split('|')
    .map((text) => Buffer.from(text, 'latin1'))

/** Draws a place: most of them near a block of metadata, where a change means something. */
function place(file: Buffer, random: Random): number {
  if (chance(0.3, random)) return under(file.length + 1, random)
  const places: number[] = []
  const landmark = oneOf(LANDMARKS, random)
  for (let at = file.indexOf(landmark); at >= 0; at = file.indexOf(landmark, at + 1)) places.push(at)
  const near = places.length === 0 ? under(file.length, random) : oneOf(places, random)
  return Math.max(0, Math.min(file.length, near + under(chance(0.5, random) ? 24 : 600, random) - 8))
}

function replaced(file: Buffer, from: number, to: number, by: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([file.subarray(0, from), by, file.subarray(to)])
}

const NUMBERS = [0, 1, 2, 4, 8, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff]

const MUTATIONS: readonly Mutation[] = [
  function bit(file, random) {
    const at = Math.min(place(file, random), file.length - 1)
    file.writeUInt8(file.readUInt8(at) ^ (1 << under(8, random)), at)
    return file
  },
  function byte(file, random) {
    file[Math.min(place(file, random), file.length - 1)] = under(256, random)
    return file
  },
  function number(file, random) {
    const size = oneOf([1, 2, 4], random)
    const at = Math.max(0, Math.min(place(file, random), file.length - size))
    if (at + size > file.length) return file
    const value = (chance(0.7, random) ? oneOf(NUMBERS, random) : under(file.length, random)) % 2 ** (8 * size)
    if (chance(0.5, random)) file.writeUIntBE(value, at, size)
    else file.writeUIntLE(value, at, size)
    return file
  },
  function nudge(file, random) {
    const at = Math.min(place(file, random), file.length - 1)
    file.writeUInt8((file.readUInt8(at) + oneOf([1, 2, 255, 254], random)) & 0xff, at)
    return file
  },
  function removed(file, random) {
    const at = place(file, random)
    return replaced(file, at, at + 1 + under(chance(0.5, random) ? 8 : 500, random))
  },
  function inserted(file, random) {
    const at = place(file, random)
    const length = 1 + under(chance(0.5, random) ? 8 : 500, random)
    return replaced(
      file,
      at,
      at,
      Buffer.alloc(length, oneOf(['\0', '\xff', ' ', 'a', '\xff\xd9', '<!--'], random), 'latin1'),
    )
  },
  function doubled(file, random) {
    const at = place(file, random)
    const part = file.subarray(at, at + 1 + under(chance(0.5, random) ? 64 : 3000, random))
    const to = chance(0.5, random) ? at : place(file, random)
    return replaced(file, to, to, part)
  },
  function blanked(file, random) {
    const at = place(file, random)
    return file.fill(oneOf([0, 0xff, 0x20], random), at, Math.min(file.length, at + under(64, random)))
  },
  function swapped(file, random) {
    const [first, second] = [place(file, random), place(file, random)].sort((one, other) => one - other) as [
      number,
      number,
    ]
    const length = under(Math.min(200, second - first + 1), random)
    const part = Buffer.from(file.subarray(first, first + length))
    file.copyWithin(first, second, second + length)
    part.copy(file, second)
    return file
  },
  function cut(file, random) {
    return file.subarray(0, place(file, random))
  },
  function spliced(file, random, others) {
    const other = oneOf(others, random)
    return Buffer.concat([file.subarray(0, place(file, random)), other.subarray(place(other, random))])
  },
  function appended(file, random, others) {
    return Buffer.concat([file, oneOf(others, random)])
  },
  function grown(file, random, others) {
    const at = place(file, random)
    const other = oneOf(others, random)
    const from = place(other, random)
    return replaced(file, at, at, other.subarray(from, from + under(3000, random)))
  },
]

/** Returns a copy of an image that differs in one to four ways, and the names of these. */
export function mutateFile(original: Buffer, random: Random, others: readonly Buffer[]): { file: Buffer; how: string } {
  let file = Buffer.from(original)
  const how: string[] = []
  for (let left = oneOf([1, 1, 2, 3, 4], random); left > 0 && file.length > 0; left--) {
    const mutation = oneOf(MUTATIONS, random)
    how.push(mutation.name)
    file = Buffer.from(mutation(file, random, others))
  }
  if (chance(0.7, random)) mendPng(file)
  return { file, how: how.join(', ') }
}

/** Writes the check sum of each chunk of a PNG, so that decoders look at what has changed (PNG, third edition, section 5.3). */
function mendPng(file: Buffer): void {
  if (file.toString('latin1', 1, 4) !== 'PNG') return
  for (let at = 8; at + 12 <= file.length; ) {
    const end = at + 8 + file.readUInt32BE(at)
    if (end + 4 > file.length) return
    file.writeUInt32BE(crc32(file.subarray(at + 4, end)), end)
    at = end + 4
  }
}
