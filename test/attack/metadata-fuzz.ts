/**
 * Uploads damaged images with metadata, and looks at what is stored: exiftool must find no position in it, and where sharp decodes what was
 * sent, the stored image must have the same pixels. Writes what came of it to standard output; ends with 1 if anything was wrong.
 *
 * `FUZZ_FILES=100000 FUZZ_SEED=1 FUZZ_TYPES=jpg,png node --import ./build/typescript.mjs test/attack/metadata-fuzz.ts`
 */

import { writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { ServiceError } from '../../src/errors.ts'
import type { ImageType } from '../../src/images/types.ts'
import { forEachConcurrent } from '../../src/io/for-each-concurrent.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { uploadStory } from '../../src/stories/upload.ts'
import { makeSpecimens, TYPES } from '../images/metadata/corpus.ts'
import { inChunks } from '../support/bodies.ts'
import { positionsIn, readTags } from '../support/exiftool.ts'
import { chance, oneOf, randomFrom } from '../support/random.ts'
import { openMemoryStore } from './memory-store.ts'
import { mutateFile } from './mutate-file.ts'

/** Of each type. */
const FILES = Number(process.env.FUZZ_FILES ?? 1000)
const SEED = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000)
const types = (process.env.FUZZ_TYPES?.split(',') ?? TYPES) as readonly ImageType[]
/** Files that exiftool reads in one process. */
const BATCH = 500
const MOST_PROBLEMS = 10
const MAX_PIXELS = 1_000_000

interface Sent {
  readonly how: string
  readonly file: Buffer
  readonly strip: 'location' | 'all'
  readonly chunk: number
}

const specimens = await makeSpecimens()
const problems: string[] = []

function report(type: ImageType, { how, file, strip }: Sent, problem: string): void {
  const path = join(tmpdir(), `metadata-fuzz-${SEED}-${problems.length}.${type}`)
  writeFileSync(path, file)
  problems.push(`${problem.replaceAll('\n', ' ')}: ${how}, ${strip}: ${path}`)
}

/** Returns what is stored of an image, or the status of its refusal. */
async function upload({ file, strip, chunk }: Sent): Promise<Buffer | number> {
  const store = openMemoryStore()
  async function* bodies() {
    yield inChunks(file, chunk)
  }
  try {
    const { keys } = await uploadStory(storyStore(store, 3_600_000), bodies(), {
      maxPixels: MAX_PIXELS,
      readAhead: true,
      signal: new AbortController().signal,
      strip,
      onDebris: () => {},
    })
    return store.objects.get(keys[0] as string) as Buffer
  } catch (error) {
    if (error instanceof ServiceError && error.status < 500) return error.status
    throw error
  }
}

/**
 * Returns the pixels of all frames, or undefined if sharp does not decode them. Of a damaged JPEG, those that are there: whether sharp
 * notices the damage depends on how many bytes follow it.
 */
async function pixels(type: ImageType, file: Buffer): Promise<Buffer | undefined> {
  const failOn = type === 'jpg' ? 'none' : 'warning'
  try {
    return await sharp(file, { animated: true, limitInputPixels: MAX_PIXELS, failOn }).raw().toBuffer()
  } catch {
    return undefined
  }
}

/** Returns the compressed data of the first scan of a JPEG, up to the next marker (T.81 section B.1.1.5). */
function firstScan(jpeg: Buffer): Buffer {
  const start = jpeg.indexOf(Buffer.from([0xff, 0xda]))
  for (let at = jpeg.indexOf(0xff, start + 2); at >= 0; at = jpeg.indexOf(0xff, at + 1)) {
    const code = jpeg[at + 1] ?? 0
    if (code >= 0xc0 && !(code >= 0xd0 && code <= 0xd7)) return jpeg.subarray(start, at)
  }
  return jpeg.subarray(start)
}

/** Returns whether the boxes of a file (ISO/IEC 14496-12 section 4.2) do not end where it does. */
function hasBrokenBoxes(file: Buffer): boolean {
  let at = 0
  while (at + 8 <= file.length) {
    const size = file.readUInt32BE(at)
    if (size === 0) return false
    if (size < 8) return true
    at += size
  }
  return at !== file.length
}

/** Returns whether something else than a block or the end follows a block of a GIF (GIF89a, appendix B). */
function hasBrokenBlocks(gif: Buffer): boolean {
  const tableBytes = (flags = 0) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0)
  let at = 13 + tableBytes(gif[10])
  while (gif[at] === 0x2c || gif[at] === 0x21) {
    at += gif[at] === 0x2c ? 11 + tableBytes(gif[at + 9]) : 2
    while (gif[at]) at += 1 + (gif[at] ?? 0)
    at += 1
  }
  return at < gif.length && gif[at] !== 0x3b
}

for (const type of types) {
  // Its own, so that the same seed makes the same files of one type alone
  const random = randomFrom(SEED + TYPES.indexOf(type))
  const originals = specimens.filter((specimen) => specimen.type === type)
  const others = specimens.map(({ bytes }) => bytes)
  const draw = (): Sent => {
    const { bytes, what } = oneOf(originals, random)
    const { file, how } = chance(0.02, random) ? { file: bytes, how: 'nothing' } : mutateFile(bytes, random, others)
    return {
      how: `${what}: ${how}`,
      file,
      strip: chance(0.5, random) ? 'location' : 'all',
      chunk: chance(0.5, random) ? file.length + 1 : 1 + Math.floor(random() * 2000),
    }
  }
  const counts = { refused: 0, stored: 0, decoded: 0, damaged: 0 }
  for (let done = 0; done < FILES && problems.length < MOST_PROBLEMS; ) {
    const batch = Array.from({ length: Math.min(BATCH, FILES - done) }, draw)
    done += batch.length
    const stored: { readonly sent: Sent; readonly bytes: Buffer }[] = []
    await forEachConcurrent(batch, 4, async (sent) => {
      try {
        const bytes = await upload(sent)
        if (typeof bytes === 'number') {
          counts.refused++
          return
        }
        stored.push({ sent, bytes })
        const expected = await pixels(type, sent.file)
        if (!expected) return
        counts.decoded++
        if ((await pixels(type, bytes))?.equals(expected)) return
        // What libjpeg-turbo makes of a damaged scan depends on how many bytes follow it
        if (type === 'jpg' && bytes.includes(firstScan(sent.file))) counts.damaged++
        // libheif finds the next box by a length that may be damaged. And it mixes a damaged file with a second one after it, which the
        // server removes
        else if (type === 'avif' && (hasBrokenBoxes(sent.file) || sent.file.indexOf('ftyp', 8) > 0)) counts.damaged++
        // Where a block should begin and none does, each decoder goes on in its own way
        else if (type === 'gif' && hasBrokenBlocks(sent.file)) counts.damaged++
        else report(type, sent, 'other pixels')
      } catch (error) {
        report(type, sent, String(error instanceof Error ? error.stack : error))
      }
    })
    counts.stored += stored.length
    const tags = await readTags(stored.map(({ bytes }) => bytes))
    for (const [index, { sent }] of stored.entries()) {
      const found = tags[index] ?? {}
      // A file that is cut off in its header: exiftool gives it up, and searches what is the picture's for something that looks like Exif
      if (/after unknown/.test(String(found['ExifTool:Warning']))) continue
      const positions = positionsIn(found)
      if (positions.length > 0) report(type, sent, `exiftool finds ${positions.slice(0, 5).join(', ')}`)
    }
  }
  console.log(`seed ${SEED}, ${type}: ${JSON.stringify(counts)}`)
}
for (const problem of problems) console.log(`PROBLEM: ${problem}`)
process.exitCode = problems.length > 0 ? 1 : 0
