import { isUtf8 } from 'node:buffer'
import type { Stripped } from '../types.ts'
import { hasCoordinates } from './coordinates.ts'
import { type Range, readTokens, type StartTag } from './xml.ts'

/**
 * Removes properties from an XMP packet (ISO 16684-1, RDF in XML) in place: overwrites them with spaces.
 *
 * `location` removes the properties that can hold a position or cannot be inspected: GPS, places of IPTC and Photoshop, flight data of
 * drones, texts with coordinates, images inside the packet, comments. `gainMap` keeps only what says how to apply a gain map. `all` removes
 * everything. Blanks a packet that is not UTF-8 or not well-formed. Takes linear time.
 */
export function stripXmp(packet: Buffer, what: Stripped | 'gainMap'): void {
  const removed =
    what === 'all' || !isUtf8(packet)
      ? undefined
      : findRemoved(packet.toString('latin1'), what === 'location' ? isPlace : isNotOfGainMap)
  for (const { start, end } of removed ?? [{ start: 0, end: packet.length }]) packet.fill(' ', start, end)
}

/** An element whose end has not come yet. */
interface Open {
  readonly name: string
  readonly start: number
  readonly namespaces: Readonly<Record<string, string>>
  isRemoved: boolean
}

/** Deeper packets count as broken: real ones have some ten levels. */
const MAX_DEPTH = 100

/**
 * Returns what to remove, or undefined if the packet is not well-formed.
 *
 * @param xml one character for each byte
 */
function findRemoved(xml: string, isRemoved: (space: string, property: string) => boolean): Range[] | undefined {
  const removed: Range[] = []
  const open: Open[] = []
  const close = (element: Open, end: number) => {
    if (element.isRemoved) removed.push({ start: element.start, end })
  }
  for (const token of readTokens(xml)) {
    if (token?.type === 'text') {
      // A byte order mark may come first, and zeros last
      if (open.length === 0 && /[^\s\0\u00ef\u00bb\u00bf]/.test(token.text)) return undefined
      if (hasCoordinates(token.text)) removeText(open)
    } else if (token?.type === 'other') {
      // The processing instruction that says where the packet is (XMP part 1 section 7.3.2), and that of XML
      if (!/^(xpacket|xml) /.test(token.text)) removed.push(token)
    } else if (token?.type === 'end') {
      const element = open.pop()
      if (element?.name !== token.name) return undefined
      close(element, token.end)
    } else {
      const element = token && openElement(token, open.at(-1)?.namespaces ?? NAMESPACES, isRemoved)
      if (!element || open.length === MAX_DEPTH) return undefined
      open.push(element)
      removed.push(...element.removedAttributes)
      if (element.isOfVideo) removeItem(open)
      if (token.isEmpty) close(open.pop() ?? element, token.end)
    }
  }
  return open.length === 0 ? removed : undefined
}

/** Returns undefined if a prefix is not declared. */
function openElement(
  { name, start, attributes }: StartTag,
  outer: Readonly<Record<string, string>>,
  isRemoved: (space: string, property: string) => boolean,
): (Open & { removedAttributes: Range[]; isOfVideo: boolean }) | undefined {
  let namespaces = outer
  const declarations = attributes.filter(({ name }) => name === 'xmlns' || name.startsWith('xmlns:'))
  if (declarations.length > 0) {
    const declared: Record<string, string> = Object.create(outer)
    for (const { name, value } of declarations) declared[name.slice('xmlns:'.length)] = value
    namespaces = declared
  }
  const [space, property] = resolve(name, namespaces, namespaces[''] ?? '')
  if (space === undefined) return undefined
  const removedAttributes: Range[] = []
  let isOfVideo = false
  for (const attribute of attributes) {
    const [space, property] = resolve(attribute.name, namespaces, '')
    if (space === undefined) return undefined
    const isDeclaration = declarations.includes(attribute)
    if (isRemoved(space, property) || (!isDeclaration && hasCoordinates(attribute.value)))
      removedAttributes.push(attribute)
    isOfVideo ||= space === ITEM && property === 'Semantic' && attribute.value === 'MotionPhoto'
  }
  return { name, start, namespaces, isRemoved: isRemoved(space, property), removedAttributes, isOfVideo }
}

/** Returns the namespace, undefined if its prefix is not declared, and the local name. */
function resolve(
  name: string,
  namespaces: Readonly<Record<string, string>>,
  withoutPrefix: string,
): [string | undefined, string] {
  const colon = name.indexOf(':')
  return colon < 0 ? [withoutPrefix, name] : [namespaces[name.slice(0, colon)], name.slice(colon + 1)]
}

/** Marks the innermost item of a list. */
function removeItem(open: readonly Open[]): void {
  const item = open.findLast(({ name }) => name.endsWith(':li'))
  if (item) item.isRemoved = true
}

/** Marks the innermost item of a list or, outside of lists, the element that has the text. */
function removeText(open: readonly Open[]): void {
  const element = open.findLast(({ name }) => name.endsWith(':li')) ?? open.at(-1)
  if (element) element.isRemoved = true
}

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
  if (space.length > MAX_NAMESPACE || PLACE_NAMESPACE.test(space) || PLACE.test(property) || LATITUDE.test(property))
    return true
  // Google's camera data: maker notes, videos, images and depth maps, except how to show a panorama
  return space.startsWith(GOOGLE) && space !== `${GOOGLE}panorama/`
}

/** Short names of coordinates as words of a name: `lat_deg`, `CenterLat`, `latLng`. */
const LATITUDE = /(?<![A-Za-z])(lat|lon|lng)(?![a-z])|(Lat|Lon|Lng)(?![a-z])/

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
