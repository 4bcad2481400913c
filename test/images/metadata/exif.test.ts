import sharp from 'sharp'
import t from 'tap'
import { readOrientation } from '../../../src/images/exif.ts'
import { stripExif } from '../../../src/images/metadata/exif.ts'
import { sample } from '../../support/extent.ts'
import { makeImage } from '../../support/images.ts'
import { randomFrom } from '../../support/random.ts'
import { makeTiff, readTiff, SECRET, type Tag } from './tiff.ts'

const ascii = (tag: number, value: string | Buffer): Tag => ({ tag, type: 2, value: Buffer.from(value) })
const short = (tag: number, little: boolean, value: number): Tag => ({
  tag,
  type: 3,
  value: Buffer.from(little ? [value, 0] : [0, value]),
})
const opaque = (tag: number, value: Buffer): Tag => ({ tag, type: 7, value })

const GPS: Tag = {
  tag: 0x8825,
  directory: [ascii(1, 'N'), opaque(0x1b, SECRET), { tag: 2, type: 5, value: SECRET.subarray(0, 8) }],
}

/** A photo's Exif data, with a secret wherever a position can be, or what cannot be inspected. */
function photo(little: boolean, thumbnail = Buffer.from('ffd8ffd9', 'hex')): Buffer {
  const exif = [
    ascii(0x9003, '2024:03:20 10:30:00'),
    opaque(0x927c, Buffer.concat([Buffer.from('Apple iOS\0\0\x01MM'), SECRET])),
    opaque(0x9286, Buffer.from('ASCII\0\0\0hello')),
    GPS,
    { tag: 0xa005, directory: [ascii(1, 'R98'), ascii(2, '0100'), opaque(0x1b, SECRET)] },
    ascii(0xea1c, SECRET),
    ascii(0xa434, 'A lens of glass'),
  ]
  return makeTiff(
    little,
    [
      ascii(0x010f, 'A camera maker'),
      short(0x0112, little, 6),
      ...[0x02bc, 0x83bb, 0x8649, 0x8482, 0x87b1, 0xc634, 0xc4a5, 0xfde8].map((tag) => opaque(tag, SECRET)),
      ascii(0x8298, 'Public domain'),
      { tag: 0x8769, directory: exif },
      GPS,
      { tag: 0x014a, directory: [opaque(0x02bc, SECRET)] },
    ],
    [short(0x0103, little, 6), GPS, opaque(0xc634, SECRET), { thumbnail }],
  )
}

t.test('location leaves what says who, when and how, and nothing of GPS, maker notes and unknown tags', async (t) => {
  for (const little of [true, false]) {
    const before = photo(little)
    const tiff = Buffer.from(before)
    stripExif(tiff, 'location')
    t.equal(tiff.length, before.length)
    t.notOk(tiff.includes(SECRET) || tiff.includes(SECRET.subarray(0, 8)))
    const kept = readTiff(tiff)
    const was = readTiff(before)
    t.same(
      [...kept.keys()],
      [
        ...['0', '0/10f', '0/112', '0/8298'],
        ...['0/8769', '0/8769/9003', '0/8769/9286', '0/8769/a005', '0/8769/a005/1', '0/8769/a005/2', '0/8769/a434'],
        ...['1', '1/103', '1/201', '1/202'],
      ],
    )
    for (const [path, value] of kept) if (typeof value === 'string') t.equal(value, was.get(path), path)
    t.same([kept.get('0'), kept.get('0/8769'), kept.get('1')], [4, 4, 3], 'the numbers of entries')
  }
})

t.test('all leaves the orientation, or nothing if it is upright', async (t) => {
  for (const little of [true, false]) {
    const tiff = photo(little)
    stripExif(tiff, 'all')
    t.same(
      tiff.subarray(0, 26),
      Buffer.from('4d4d002a000000080001011200030000000100060000000000000000', 'hex').subarray(0, 26),
    )
    t.ok(tiff.subarray(26).every((byte) => byte === 0))
    const upright = makeTiff(little, [ascii(0x010f, 'A camera maker'), short(0x0112, little, 1)])
    stripExif(upright, 'all')
    t.same(upright, Buffer.concat([Buffer.from('4d4d002a00000008', 'hex'), Buffer.alloc(upright.length - 8)]))
  }
})

t.test('a GPS directory in the place of another one loses its position', async (t) => {
  for (const tag of [0x8769, 0xa005]) {
    const latitude: Tag = { tag: 2, type: 5, value: Buffer.concat([SECRET, SECRET]) }
    const gps: Tag = { tag, directory: [ascii(1, 'N'), latitude, opaque(0x1b, SECRET)] }
    const tiff = makeTiff(true, tag === 0x8769 ? [gps] : [{ tag: 0x8769, directory: [gps] }])
    stripExif(tiff, 'location')
    t.notOk(tiff.includes('SECRET'))
    t.notOk([...readTiff(tiff).keys()].some((path) => path.endsWith('/2')))
  }
})

t.test('bytes that belong to no tag are zeroed: gaps, and what follows the last value', async (t) => {
  const tiff = makeTiff(true, [short(0x0112, true, 8)])
  const spaced = Buffer.concat([tiff.subarray(0, 8), SECRET, tiff.subarray(8), SECRET])
  spaced.writeUInt32LE(tiff.readUInt32LE(4) + SECRET.length, 4)
  stripExif(spaced, 'location')
  t.equal(readOrientation(spaced), 8)
  t.notOk(spaced.includes('SEC'))
})

t.test('a thumbnail stays, without metadata of its own', async (t) => {
  const plain = await makeImage({ type: 'jpg', progressive: true })
  const segment = (marker: number) => Buffer.concat([Buffer.from([0xff, marker, 0, 2 + SECRET.length]), SECRET])
  const thumbnail = Buffer.concat([
    plain.subarray(0, 2),
    ...[0xe1, 0xe2, 0xed, 0xef, 0xfe].map(segment),
    Buffer.from([0xff, 0xff]),
    plain.subarray(2),
    SECRET,
  ])
  const tiff = photo(true, thumbnail)
  const at = tiff.indexOf(thumbnail)
  stripExif(tiff, 'location')
  t.notOk(tiff.includes('SECRET'))
  const kept = tiff.subarray(at, at + thumbnail.length)
  t.same(await sharp(kept).raw().toBuffer(), await sharp(plain).raw().toBuffer())
  t.equal(readTiff(tiff).get('1/202')?.toString().length, 2, 'and its length')
})

t.test('Exif data that cannot be parsed is blanked, except an orientation that browsers respect', async (t) => {
  const little = photo(true)
  const first = little.readUInt32LE(4)
  const change = (edit: (tiff: Buffer) => void) => {
    const tiff = Buffer.from(little)
    edit(tiff)
    return tiff
  }
  const cases: Record<string, [Buffer, number | undefined]> = {
    'an empty block': [Buffer.alloc(0), undefined],
    'half a header': [little.subarray(0, 6), undefined],
    'another magic number': [change((tiff) => tiff.writeUInt16LE(43, 2)), undefined],
    'no byte order': [change((tiff) => tiff.fill('SECRET', 0, 2)), undefined],
    'a first directory in the header': [change((tiff) => tiff.writeUInt32LE(2, 4)), undefined],
    'a first directory outside': [change((tiff) => tiff.writeUInt32LE(little.length, 4)), undefined],
    'a first directory at 2 ** 32 - 1': [change((tiff) => tiff.writeUInt32LE(0xffffffff, 4)), undefined],
    'more entries than there are': [change((tiff) => tiff.writeUInt16LE(0xffff, first)), 6],
    'data that ends in the first directory': [little.subarray(0, first + 40), 6],
    text: [Buffer.from(`${SECRET} is not Exif`), undefined],
  }
  for (const [name, [block, orientation]] of Object.entries(cases)) {
    const tiff = Buffer.from(block)
    stripExif(tiff, 'location')
    t.equal(tiff.length, block.length, name)
    t.equal(readOrientation(tiff), orientation, name)
    t.notOk(/SECRET|camera/.test(tiff.toString('latin1')), name)
  }
})

t.test('loops of directories, values outside and values over directories lose their tags, and end', async (t) => {
  const little = true
  const tiff = photo(little)
  const first = tiff.readUInt32LE(4)
  const entries = tiff.readUInt16LE(first)
  const entryOf = (tag: number) =>
    Array.from({ length: entries }, (_, n) => first + 2 + 12 * n).find((at) => tiff.readUInt16LE(at) === tag) ?? 0
  const change = (edit: (tiff: Buffer) => void) => {
    const changed = Buffer.from(tiff)
    edit(changed)
    stripExif(changed, 'location')
    return changed
  }
  const cases: Record<string, [(tiff: Buffer) => void, gone: string, stays: string]> = {
    'Exif is the first directory': [(tiff) => tiff.writeUInt32LE(first, entryOf(0x8769) + 8), '0/8769', '0/10f'],
    'Exif overlaps the first directory': [
      (tiff) => tiff.writeUInt32LE(first + 12, entryOf(0x8769) + 8),
      '0/8769',
      '0/10f',
    ],
    'the second directory is the first': [
      (tiff) => tiff.writeUInt32LE(first, first + 2 + 12 * entries),
      '1',
      '0/8769/9003',
    ],
    'GPS is the first directory': [(tiff) => tiff.writeUInt32LE(first, entryOf(0x8825) + 8), '0/8825', '0/112'],
    'GPS is outside': [(tiff) => tiff.writeUInt32LE(0xfffffff0, entryOf(0x8825) + 8), '0/8825', '0/10f'],
    'a value of 2 ** 32 - 1 bytes': [(tiff) => tiff.writeUInt32LE(0xffffffff, entryOf(0x010f) + 4), '0/10f', '0/8298'],
    'a value outside': [(tiff) => tiff.writeUInt32LE(tiff.length - 3, entryOf(0x010f) + 8), '0/10f', '0/8298'],
    'a value in the header': [(tiff) => tiff.writeUInt32LE(0, entryOf(0x010f) + 8), '0/10f', '0/8298'],
    'a value over its directory': [(tiff) => tiff.writeUInt32LE(first, entryOf(0x010f) + 8), '0/10f', '0/8298'],
    'a value of an unknown type': [(tiff) => tiff.writeUInt16LE(99, entryOf(0x010f) + 2), '0/10f', '0/8298'],
  }
  for (const [name, [edit, gone, stays]] of Object.entries(cases)) {
    const left = readTiff(change(edit))
    t.notOk(left.has(gone), name)
    t.ok(left.has(stays), name)
  }
  const shared = change((tiff) => tiff.writeUInt32LE(tiff.indexOf(SECRET), entryOf(0x010f) + 8))
  t.notOk(shared.includes('SECRET'), 'a kept value over a removed one is zeroed')
})

t.test('thousands of tags that point to thousands of tags end', async (t) => {
  const pointers = makeTiff(
    true,
    Array.from({ length: 1000 }, () => ({ tag: 0x8825, type: 4 as const, value: Buffer.from([8, 0, 0, 0]) })),
  )
  stripExif(pointers, 'location')
  t.same([...readTiff(pointers)], [['0', 0]])
  const nested: Tag[] = []
  let tags = nested
  for (let n = 0; n < 200; n += 1) {
    const directory: Tag[] = []
    tags.push({ tag: 0x8769, directory })
    tags = directory
  }
  tags.push(opaque(0x9286, SECRET))
  const deep = makeTiff(false, nested)
  stripExif(deep, 'location')
  t.notOk(deep.includes('SECRET'))
})

t.test('damaged Exif data keeps no tag that is not in the list, and changes no more the second time', async (t) => {
  const random = randomFrom(1)
  const numbers = Array.from({ length: 20_000 }, (_, n) => n)
  for (const n of sample(numbers, 200)) {
    const tiff = photo(n % 2 === 0)
    for (let left = 1 + (n % 8); left > 0; left -= 1) {
      const at = Math.floor(random() * tiff.length)
      tiff[at] = random() < 0.5 ? Math.floor(random() * 256) : (tiff[at] ?? 0) ^ (1 << (n % 8))
    }
    const length = random() < 0.2 ? Math.floor(random() * tiff.length) : tiff.length
    const block = tiff.subarray(0, length)
    stripExif(block, 'location')
    const once = Buffer.from(block)
    const found = length < 14 ? [] : [...readTiff(block).keys()]
    const bad = found.filter((path) => /8825|927c|2bc|83bb|8649|c634|ea1c|fde8|14a$/.test(path))
    if (bad.length > 0) t.fail(`file ${n} keeps ${bad}`)
    stripExif(block, 'location')
    if (!block.equals(once)) t.fail(`file ${n} changes again`)
  }
})
