import { createHash } from 'node:crypto'

/** Where ids lie: imported ids anywhere, ids of uploads of one year, ids of uploads of one busy hour. */
export type Spread = 'uniform' | 'year' | 'hour'

const IMAGES_PER_STORY = 8
const YEAR_MS = 365 * 24 * 3600_000
const HOUR_MS = 3600_000
/** 2025-01-01, the beginning of the year and of the hour: all of it is over. */
const BEGIN_MS = Date.UTC(2025, 0, 1)

export interface Library {
  /** Sorted. */
  readonly ids: readonly string[]
  /** Names in each story, sorted; the first is the record, which imported stories don't have. */
  readonly names: readonly string[]
  /** When the images of a story were stored, in milliseconds. */
  time(id: string): number
}

/** The same stories of 8 images in every process: the ids come from hashes of numbers. */
export function makeLibrary(spread: Spread, images: number): Library {
  const stories = Math.ceil(images / IMAGES_PER_STORY)
  const ids = Array.from({ length: stories }, (_, number) => {
    const hash = createHash('sha256').update(`${spread} ${number}`).digest()
    const hex = hash.toString('hex')
    const tail = `${hex.slice(17, 20)}-${hex.slice(20, 32)}`
    if (spread === 'uniform') return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${tail}`
    const time = BEGIN_MS + Math.floor((hash.readUInt32BE(16) / 2 ** 32) * (spread === 'year' ? YEAR_MS : HOUR_MS))
    const stamp = time.toString(16).padStart(12, '0')
    return `${stamp.slice(0, 8)}-${stamp.slice(8)}-7${hex.slice(13, 16)}-a${tail}`
  }).sort()
  const names = Array.from({ length: IMAGES_PER_STORY }, (_, index) => `${index + 1}.jpg`)
  return {
    ids,
    names: spread === 'uniform' ? names : [`0.${IMAGES_PER_STORY}.json`, ...names],
    // Whole seconds: all that a list shows
    time: (id) =>
      spread === 'uniform' ? BEGIN_MS : Math.floor(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16) / 1000) * 1000,
  }
}

/** Returns the SHA-256 of the response to `GET /api/v1/images`, or to `…/story-ids`, for a library. */
export function expectedList(library: Library, what: 'images' | 'images without times' | 'ids'): string {
  const hash = createHash('sha256')
  let separator = '['
  for (const id of library.ids) {
    if (what === 'ids') hash.update(`${separator}"${id}"`)
    else {
      const at = new Date(library.time(id)).toISOString().replace('.000Z', 'Z')
      const time = what === 'images' ? `,"created_at":"${at}"` : ''
      const images = library.names.filter((name) => name.endsWith('.jpg'))
      const path = `/images/stories/${id}/`
      hash.update(separator)
      hash.update(
        images
          .map((name, index) => `{"id":"${index + 1}","story_id":"${id}","path":"${path}${name}"${time}}`)
          .join(','),
      )
    }
    separator = ','
  }
  return hash.update(']').digest('hex')
}
