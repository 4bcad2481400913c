import { isUtf8 } from 'node:buffer'
import type { Stripped } from './strip.ts'

/**
 * Removes properties from an XMP packet (ISO 16684-1, RDF in XML) in place: spaces take their room.
 *
 * `location` removes the properties that can hold a position or cannot be inspected: GPS, places of IPTC and Photoshop, what drones say of
 * their flight, images inside the packet, comments. `gainMap` keeps nothing but what says how to apply a gain map, and `all` nothing. A
 * packet that is not UTF-8 or not well-formed is blanked. Takes linear time.
 */
export function stripXmp(packet: Buffer, what: Stripped | 'gainMap'): void {
  const removed = what === 'all' || !isUtf8(packet) ? undefined : findRemoved(packet.toString('latin1'), what)
  for (const { start, end } of removed ?? [{ start: 0, end: packet.length }]) packet.fill(' ', start, end)
}

interface Range {
  readonly start: number
  readonly end: number
}

/** An element whose end has not come yet. */
interface Open {
  readonly name: string
  readonly start: number
  readonly namespaces: Readonly<Record<string, string>>
  isRemoved: boolean
}

const NAME = '[A-Za-z_][\\w.-]*(?::[A-Za-z_][\\w.-]*)?'
const START_TAG = new RegExp(`<(${NAME})`, 'y')
const ATTRIBUTE = new RegExp(`\\s+(${NAME})\\s*=\\s*(?:"([^"<]*)"|'([^'<]*)')`, 'y')
const START_TAG_END = /\s*(\/?)>/y
const END_TAG = new RegExp(`</(${NAME})\\s*>`, 'y')

/** Deeper packets count as broken: real ones have some ten levels. */
const MAX_DEPTH = 100

/**
 * Returns what to remove, or undefined if the packet is not well-formed. It has its own reader of tags because parsers of npm do not say
 * where an attribute is. The reader takes a part of XML 1.0: no document type, and names in ASCII.
 *
 * @param xml one character for each byte
 */
function findRemoved(xml: string, what: 'location' | 'gainMap'): Range[] | undefined {
  const removed: Range[] = []
  const open: Open[] = []
  const isRemoved = what === 'location' ? isPlace : isNotOfGainMap
  const close = (element: Open, end: number) => {
    if (element.isRemoved) removed.push({ start: element.start, end })
  }
  // A byte order mark may come first
  let at = xml.startsWith('\u00ef\u00bb\u00bf') ? 3 : 0
  for (;;) {
    const tag = xml.indexOf('<', at)
    const text = xml.slice(at, tag < 0 ? undefined : tag)
    if (open.length === 0 && /[^\s\0]/.test(text)) return undefined
    if (GEO_KEYWORD.test(text)) removeItem(open)
    if (tag < 0) return open.length === 0 ? removed : undefined
    const other = OTHER_MARKUP.find(({ start }) => xml.startsWith(start, tag))
    if (other) {
      const end = xml.indexOf(other.end, tag + other.start.length)
      // A lenient reader would find tags in it
      if (end < 0 || (other.isKept && xml.slice(tag + 1, end).includes('<'))) return undefined
      at = end + other.end.length
      if (!other.isKept) removed.push({ start: tag, end: at })
      else if (GEO_KEYWORD.test(xml.slice(tag, at))) removeItem(open)
      continue
    }
    const endTag = matchAt(END_TAG, xml, tag)
    if (endTag) {
      const element = open.pop()
      if (!element || element.name !== endTag[1]) return undefined
      at = END_TAG.lastIndex
      close(element, at)
      continue
    }
    const name = matchAt(START_TAG, xml, tag)?.[1]
    if (!name) return undefined
    at = START_TAG.lastIndex
    const attributes: (Range & { name: string; value: string })[] = []
    const namespaces: Record<string, string> = Object.create(open.at(-1)?.namespaces ?? NAMESPACES)
    for (let match = matchAt(ATTRIBUTE, xml, at); match; match = matchAt(ATTRIBUTE, xml, at)) {
      const [, attribute = '', value = match[3] ?? ''] = match
      attributes.push({ name: attribute, value, start: at, end: ATTRIBUTE.lastIndex })
      at = ATTRIBUTE.lastIndex
      if (attribute === 'xmlns') namespaces[''] = value
      else if (attribute.startsWith('xmlns:')) namespaces[attribute.slice(6)] = value
    }
    const end = matchAt(START_TAG_END, xml, at)
    const [space, property] = resolve(name, namespaces)
    if (!end || space === undefined || open.length === MAX_DEPTH) return undefined
    at = START_TAG_END.lastIndex
    const element = { name, start: tag, namespaces, isRemoved: isRemoved(space, property) }
    open.push(element)
    for (const attribute of attributes) {
      const [space, property] = attribute.name.includes(':')
        ? resolve(attribute.name, namespaces)
        : ['', attribute.name]
      if (space === undefined) return undefined
      if (space === ITEM && property === 'Semantic' && attribute.value === 'MotionPhoto') removeItem(open)
      if (isRemoved(space, property)) removed.push(attribute)
    }
    if (end[1]) {
      open.pop()
      close(element, at)
    }
  }
}

function matchAt(regExp: RegExp, text: string, at: number): RegExpExecArray | null {
  regExp.lastIndex = at
  return regExp.exec(text)
}

/** Returns the namespace, undefined if its prefix is not declared, and the local name. */
function resolve(name: string, namespaces: Readonly<Record<string, string>>): [string | undefined, string] {
  const [prefix = '', local] = name.split(':')
  return local === undefined ? [namespaces[''] ?? '', name] : [namespaces[prefix], local]
}

/** Marks the innermost item of a list. */
function removeItem(open: readonly Open[]): void {
  const item = open.findLast(({ name }) => name.endsWith(':li'))
  if (item) item.isRemoved = true
}

/** Comments, text, and processing instructions, of which `xpacket` says where the packet is (XMP part 1 section 7.3.2). */
const OTHER_MARKUP = [
  { start: '<!--', end: '-->', isKept: false },
  { start: '<![CDATA[', end: ']]>', isKept: true },
  { start: '<?xpacket ', end: '?>', isKept: true },
  { start: '<?xml ', end: '?>', isKept: true },
  { start: '<?', end: '?>', isKept: false },
] as const

const RDF = 'http://www.w3.org/1999/02/22-rdf-syntax-ns#'
const GOOGLE = 'http://ns.google.com/photos/1.0/'
const ITEM = `${GOOGLE}container/item/`

/** The prefixes that need no declaration (Namespaces in XML 1.0 section 3). */
const NAMESPACES: Readonly<Record<string, string>> = Object.assign(Object.create(null), {
  xml: 'http://www.w3.org/XML/1998/namespace',
  xmlns: 'http://www.w3.org/2000/xmlns/',
})

/** Of the structure of a packet, and of gain maps (Ultra HDR 1.1, and Apple's). */
const GAIN_MAP_NAMESPACES: ReadonlySet<string> = new Set([
  ...Object.values(NAMESPACES),
  RDF,
  'adobe:ns:meta/',
  'http://ns.adobe.com/hdr-gain-map/1.0/',
  `${GOOGLE}container/`,
  ITEM,
  'http://ns.apple.com/HDRGainMap/1.0/',
  'http://ns.apple.com/pixeldatainfo/1.0/',
])

function isNotOfGainMap(space: string): boolean {
  return !GAIN_MAP_NAMESPACES.has(space)
}

/** Longest name of a namespace, in bytes: it is searched for each property. Real ones have less than 100. */
const MAX_NAMESPACE = 256

function isPlace(space: string, property: string): boolean {
  if (space === RDF || GAIN_MAP_NAMESPACES.has(space)) return false
  if (space.length > MAX_NAMESPACE || PLACE_NAMESPACE.test(space) || PLACE.test(property)) return true
  // Google's camera data: maker notes, videos, images and depth maps, except how to show a panorama
  return space.startsWith(GOOGLE) && space !== `${GOOGLE}panorama/`
}

/** Drones, Darwin Core (where a specimen was found), cells of mobile networks, Basic Geo, GeoRSS, and exiftool's own form. */
const PLACE_NAMESPACE =
  /dji|drone|parrot|pix4d|sensefly|micasense|tdwg\.org|\/cell\/|wgs84_pos|georss|exiftool\.(ca|org)\/.*(gps|maker)/i

/**
 * Names of places in any namespace, so that `exif:GPSLatitude`, `photoshop:City`, `Iptc4xmpExt:LocationShown` and those of products that
 * are not listed anywhere go. Also what points to extended XMP, which is removed, thumbnails, which may hold Exif data of their own, and
 * `photoshop:TransmissionReference`, which may name a place (IIM 4.2, 2:103).
 */
const PLACE =
  /gps|latitude|longt?itude|altitude|coordinate|location|locality|^geo(?!me)|^(sub)?city|^(country|county|state|province|worldregion|municipality|continent|coverage|spatial|elevation|place|landmark|island|waterbody|lat$|lon$|long$|lng$|alt$)|^(makernote|hasextendedxmp|thumbnails|transmissionreference)$/i

/** Keywords that hold a position: Flickr's machine tags. */
export const GEO_KEYWORD = /\bgeo:(lat|lon|lng|alt|geohash)|\bgeohash:/i
