import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

/** Runs exiftool (Debian: libimage-exiftool-perl), and returns what it prints. Warnings are not errors here. */
export async function exiftool(...options: readonly string[]): Promise<string> {
  const child = spawn('exiftool', options, { stdio: ['ignore', 'pipe', 'ignore'] })
  const started = new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', reject)
  })
  const [output] = await Promise.all([text(child.stdout), started])
  return output
}

/** Why tests with exiftool are skipped, or false. */
export const noExiftool: string | false = await exiftool('-ver').then(
  () => false,
  (error) => {
    if (process.env.CI) throw error
    return 'there is no exiftool; with CI set this is a failure'
  },
)

/** What exiftool reads of a file, by names of the form `EXIF:GPS:GPSLatitude`: the kind of metadata, where it is, and the tag. */
export type Tags = Readonly<Record<string, unknown>>

/** Reads all that exiftool finds in files, also what is unknown, repeated or embedded, in one process. */
export async function readTags(files: readonly Uint8Array[]): Promise<Tags[]> {
  const folder = await mkdtemp(join(tmpdir(), 'exiftool-'))
  try {
    await Promise.all(files.map((bytes, index) => writeFile(join(folder, String(index)), bytes)))
    const output = await exiftool('-q', '-a', '-u', '-ee', '-G0:1', '-j', '-ext', '*', folder)
    const found = (JSON.parse(output || '[]') as Tags[]).map(
      ({ SourceFile, ...tags }) => [Number(String(SourceFile).split('/').at(-1)), tags] as const,
    )
    const byIndex = new Map(found)
    return files.map((_, index) => byIndex.get(index) ?? {})
  } finally {
    await rm(folder, { recursive: true })
  }
}

/**
 * Names of tags that say where an image was taken, by exiftool's names of them. A field of light (`ISOSpeedLatitude…`), a place in the
 * picture (`SubjectLocation`) or in time (`MarkersLocation`), and the address of an author or licensor are no such thing.
 */
const POSITION =
  /GPS|Geo(?:d|l(?:oc|at)|Tiff|Hash|ref|graphy)|(?<!ISOSpeed)Latitude|Longt?itude|Altitude|Elevation(?!Angle)|Coordinate|(?<!Creator|Licensor)(?:City|Country|Continent|Municipality|County$)|(?:^|DC|Location(?:Created|Shown)|Province-?|RatingRegion|-)(?:State|Province|Locality|Island|WaterBody|WorldRegion)|(?<!Subject|Markers|NewWCS)Location|Sub-location|Coverage$|^Cell(?!Width|Length|R$)|NetworkCode|AreaCode|Landmark/

export function isPosition(name: string): boolean {
  return POSITION.test(name) && name !== 'ExclusiveCoverage' && name !== 'GlobalAltitude'
}

/** The tags that hold a position, or that can't be inspected as maker notes can't. */
export function positionsIn(tags: Tags): string[] {
  return Object.keys(tags).filter((tag) => tag.startsWith('MakerNotes:') || isPosition(tag.split(':').at(-1) as string))
}
