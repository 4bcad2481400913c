import sharp from 'sharp'
import t from 'tap'
import { EditRun } from '../../../src/images/metadata/editor.ts'
import { stripMetadata } from '../../../src/images/metadata/strip.ts'
import type { ImageType, Stripped } from '../../../src/images/types.ts'
import { noExiftool, positionsIn, readTags, type Tags } from '../../support/exiftool.ts'
import { KEPT, LATITUDE, makeSpecimens, PLACE, type Specimen } from './corpus.ts'

function strip({ type, bytes }: Specimen, what: Stripped): Buffer {
  const file = Buffer.from(bytes)
  const run = new EditRun(stripMetadata(type, file, what, 1))
  return Buffer.concat([...run.push(file), ...run.end()])
}

async function pixels(bytes: Buffer): Promise<Buffer> {
  const { data } = await sharp(bytes, { animated: true }).raw().toBuffer({ resolveWithObject: true })
  return data
}

/** What describes the picture itself, or is of the file system. */
const OF_THE_PICTURE =
  /^(File|ExifTool|Composite|ICC_Profile|JFIF|PNG|GIF|RIFF|QuickTime|Meta|APP14):|^EXIF:IFD0:(Orientation|[XY]Resolution|ResolutionUnit|YCbCrPositioning)$/

t.test(
  'exiftool finds a position in each specimen, and none after it was stripped',
  { skip: noExiftool },
  async (t) => {
    const specimens = await makeSpecimens()
    const name = ({ type, what }: Specimen) => `${type}, ${what}`
    const before = await readTags(specimens.map(({ bytes }) => bytes))
    for (const what of ['location', 'all'] as const) {
      const stripped = specimens.map((specimen) => strip(specimen, what))
      const after = await readTags(stripped)
      for (const [index, specimen] of specimens.entries()) {
        const [was = {}, is = {}, bytes = Buffer.alloc(0)] = [before[index], after[index], stripped[index]]
        // GIF has no Exif, and exiftool does not look after the end of an image
        const isVisible = specimen.what !== 'an image after its end' && !(specimen.type === 'gif' && isNote(specimen))
        if (isVisible) t.ok(positionsIn(was).length > 0, `${name(specimen)}: there is a position`)
        t.same(positionsIn(is), [], `${name(specimen)}: exiftool finds no position`)
        for (const text of [PLACE, LATITUDE])
          t.notOk(bytes.includes(text), `${name(specimen)}: ${text} is not in the bytes`)
        t.ok((await pixels(bytes)).equals(await pixels(specimen.bytes)), `${name(specimen)}: the pixels are the same`)
        if (what === 'all') {
          const left = Object.keys(is).filter((tag) => !OF_THE_PICTURE.test(tag))
          t.same(left, [], `${name(specimen)}: no other metadata is left`)
        } else {
          for (const tag of keptOf(specimen.type, was)) t.same(is[tag], was[tag], `${name(specimen)}: ${tag} stays`)
        }
      }
    }
  },
)

const isNote = ({ what }: Specimen) => what !== 'camera' && what !== 'every tag'

/**
 * What says who made an image, when, and how, and its orientation. IPTC in a PNG is text without a standard, and XMP in a GIF has no length:
 * both are removed whole.
 */
function keptOf(type: ImageType, tags: Tags): string[] {
  const kinds = {
    jpg: ['EXIF', 'XMP', 'IPTC'],
    png: ['EXIF', 'XMP'],
    gif: [],
    webp: ['EXIF', 'XMP'],
    avif: ['EXIF', 'XMP'],
  }
  const names = [...Object.keys(KEPT), ...'Orientation DateTimeOriginal Make FNumber Creator Title By-line'.split(' ')]
  return Object.keys(tags).filter((tag) => {
    const [kind = '', ...name] = tag.split(':')
    return kinds[type].some((kept) => kept === kind) && names.includes(name.at(-1) as string)
  })
}
