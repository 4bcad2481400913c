import { settings } from './settings.ts'
import { size } from './words.ts'

/** The first brand of a HEIC file, as iPhones make them (ISO/IEC 23008-12 annex B). */
const HEIC = /^(heic|heix|heim|heis|hevc|hevx|hevm|hevs)$/

const SIGNATURES = [/^\xff\xd8\xff/, /^\x89PNG/, /^GIF8[79]a/, /^RIFF.{4}WEBP/s, /^.{4}ftyp/s]

/** Returns why a file can't be uploaded, as far as the page can know; undefined if the server has to decide. */
export async function problemOf(file: File): Promise<string | undefined> {
  if (file.size > settings.maxFileSize) return `Larger than ${size(settings.maxFileSize)}, the limit for one file`
  /** One character for each byte. */
  let head: string
  try {
    head = String.fromCharCode(...new Uint8Array(await file.slice(0, 512).arrayBuffer()))
  } catch {
    return 'Can’t be read: it was moved or changed, or is a folder'
  }
  if (file.size === 0) return 'Empty'
  if (HEIC.test(head.slice(8, 12)) && head.slice(4, 8) === 'ftyp') {
    return 'A HEIC image, which browsers can’t show: save it as JPEG'
  }
  if (file.type === 'image/svg+xml' || /^\s*(<\?xml[\s\S]*)?(<!--[\s\S]*)?<svg/.test(head)) {
    return 'An SVG drawing, which can run scripts: save it as PNG or WebP'
  }
  if (!SIGNATURES.some((signature) => signature.test(head))) return 'Not a JPEG, PNG, GIF, WebP or AVIF image'
  return undefined
}
