import { readOrientation } from '../exif.ts'
import type { Stripped } from '../types.ts'
import { hasCoordinates } from './coordinates.ts'
import {
  blank,
  drop,
  dropUntil,
  type Edit,
  type EditRequest,
  type Finder,
  hold,
  keep,
  keepUntil,
  put,
} from './editor.ts'
import { ORIENTATION_BYTES, stripExif } from './exif.ts'
import { stripPhotoshop } from './iptc.ts'
import { indexBytes, mayBeGainMap, readMultiPicture, writeMultiPicture } from './mpf.ts'
import { stripThumbnail } from './thumbnail.ts'
import { stripXmp } from './xmp.ts'

/**
 * Removes metadata from a JPEG (ITU-T T.81, annex B). Holds one segment at a time, at most 64 KiB.
 *
 * Keeps what is part of the picture: tables, frames, scans, JFIF, Adobe's colour transform and the ICC profile. `location` also keeps
 * comments without coordinates, and removes the positions from Exif, XMP and Photoshop's resources. `all` reduces Exif to its orientation.
 * Of each image, keeps only the first Exif and the first XMP segment, and no comment or application segment after the start of the first
 * scan. Removes every other application segment, since it cannot be inspected, and extended XMP, whose segments are parts of a packet of
 * any length.
 *
 * Removes what follows the image as well (trailers of phones, videos of motion photos), except images that a multi-picture index names
 * (CIPA DC-007): previews and gain maps. Each is stripped in the same way. `all` keeps only a gain map, with its parameters.
 *
 * The index has the sizes and offsets of images that come after it, and XMP has the length of a gain map. So nothing after the index
 * changes its length: zeros replace what is removed there. The index is rewritten to account for what was removed before it.
 *
 * @param head tells in its first 256 KiB whether there is a gain map
 */
export function stripJpeg(head: Buffer, what: Stripped): Edit {
  const start = head.subarray(0, GAIN_MAP_WINDOW)
  const hasGainMap = what === 'location' || start.includes(HDR_GAIN_MAP) || start.includes(ISO_GAIN_MAP)
  return new JpegStripper(what, hasGainMap).strip()
}

class JpegStripper {
  readonly #what: Stripped
  readonly #keepsGainMap: boolean
  /** How many bytes of the file have been read, and how many more than have been written. */
  #read = 0
  #removed = 0
  #segments = 0
  /** Whether what follows has to keep its length. */
  #isFixed = false
  /** The images to keep after the first one, in the order of the file, by their bytes in it. */
  #others: { readonly start: number; readonly end: number }[] = []

  constructor(what: Stripped, keepsGainMap: boolean) {
    this.#what = what
    this.#keepsGainMap = keepsGainMap
  }

  *strip(): Edit {
    yield* this.#stripImage()
    for (const { start, end } of this.#others) {
      if (start < this.#read) continue
      yield this.#zero(start - this.#read)
      yield* this.#stripImage()
      yield this.#zero(end - this.#read)
    }
  }

  /** Stops after the end of an image, or before what is not one. */
  *#stripImage(): Edit {
    const start = yield this.#hold(2)
    const isImage = start.length === 2 && start.readUInt16BE() === 0xffd8
    yield this.#put(isImage ? start : start.fill(0))
    if (!isImage) return
    const image: Progress = { hasExif: false, hasXmp: false, hasScan: false }
    for (let isInScan = false; ; ) {
      // The search for a marker keeps its 0xff bytes after a scan or the index, and drops them elsewhere
      const isStarted = isInScan || this.#isFixed
      if (isInScan) yield this.#until(keepUntil, markerFinder(true))
      else {
        yield this.#until(keepUntil, (chunk, at) => this.#skipSegments(chunk, at))
        if (this.#isFixed) yield this.#until(keepUntil, zeroing(markerFinder(false)))
        else yield this.#until(dropUntil, markerFinder(false))
      }
      const marker = (yield this.#hold(1))[0]
      this.#segments += 1
      if (marker === undefined || this.#segments > MAX_SEGMENTS) return
      // Decoders end an image that has no end where the next one starts
      if (marker === EOI || marker === SOI) {
        yield this.#put(Buffer.from(isStarted ? [EOI] : [0xff, EOI]))
        return
      }
      const length = yield this.#hold(2)
      if (length.length < 2) return
      const bytes = Math.max(0, length.readUInt16BE() - 2)
      isInScan = marker === SOS
      image.hasScan ||= isInScan
      if (isOfPicture(marker)) {
        yield this.#put(segmentStart(isStarted, marker, length.readUInt16BE()))
        // The search for the next marker begins in a scan's header, which has none. If the file is cut off in it, another one may follow
        if (!isInScan) yield this.#keep(bytes)
      } else if (INSPECTED.has(marker) && !image.hasScan) {
        const content = yield this.#hold(bytes)
        if (content.length < bytes) return
        if (marker === APP2 && startsWith(content, MULTI_PICTURE)) yield* this.#writeIndex(content)
        else yield* this.#writeSegment(isStarted, marker, this.#stripSegment(marker, content, image), bytes)
      } else {
        yield* this.#writeSegment(isStarted, marker, undefined, bytes)
        yield this.#drop(bytes)
      }
    }
  }

  /** Finds the first segment that is not of the picture, starts a scan, or is not whole in these bytes. */
  #skipSegments(bytes: Buffer, at: number): number {
    while (this.#segments < MAX_SEGMENTS && at + 4 <= bytes.length && bytes[at] === 0xff) {
      const marker = bytes.readUInt8(at + 1)
      const end = at + 2 + Math.max(2, bytes.readUInt16BE(at + 2))
      if (!isOfPicture(marker) || marker === SOS || end > bytes.length) break
      this.#segments += 1
      at = end
    }
    return at
  }

  /** @param room how many bytes the content had */
  *#writeSegment(isStarted: boolean, marker: number, content: Buffer | undefined, room: number): Edit {
    if (content) yield this.#put(segment(isStarted, marker, content))
    if (!this.#isFixed) return
    // The first byte of the segment is written
    yield this.#put(content ? filler(room - content.length) : segment(true, FILLER, Buffer.alloc(room)))
  }

  /** Writes the index of a multi-picture file, unless it is in another image than the first one or names no image to keep. */
  *#writeIndex(content: Buffer): Edit {
    const tiff = content.subarray(MULTI_PICTURE.length)
    const index = this.#isFixed ? undefined : readMultiPicture(tiff)
    const others = index?.others.filter(
      (picture) => this.#what === 'location' || (this.#keepsGainMap && mayBeGainMap(picture)),
    )
    if (!index || !others?.length) return yield* this.#writeSegment(true, APP2, undefined, content.length)
    const start = this.#read - tiff.length
    this.#others = others.map(({ offset, bytes }) => ({ start: start + offset, end: start + offset + bytes }))
    const pictures = { ...index, others }
    const moved = tiff.length - indexBytes(pictures)
    const shrunk = this.#removed - SEGMENT_BYTES - content.length + moved
    const written = Buffer.concat([MULTI_PICTURE, writeMultiPicture(pictures, shrunk, moved)])
    yield this.#put(segment(false, APP2, written))
    this.#isFixed = true
  }

  /** Returns what is left of the content of a segment, at most as long; undefined if nothing is. */
  #stripSegment(marker: number, content: Buffer, image: Progress): Buffer | undefined {
    const isLocation = this.#what === 'location'
    if (marker === COM) return isLocation && !hasCoordinates(content.toString('latin1')) ? content : undefined
    if (marker === APP0) return stripJfif(content, isLocation)
    if (marker === APP14)
      return startsWith(content, ADOBE) && content.length >= 12 ? content.subarray(0, 12) : undefined
    if (marker === APP13) {
      if (!isLocation || !startsWith(content, PHOTOSHOP)) return undefined
      const resources = stripPhotoshop(content.subarray(PHOTOSHOP.length))
      return resources.length > 0 ? Buffer.concat([PHOTOSHOP, resources]) : undefined
    }
    if (marker === APP2) {
      const isGainMap = this.#keepsGainMap && startsWith(content, ISO_GAIN_MAP) && content.length <= MAX_ISO_GAIN_MAP
      return isGainMap || startsWith(content, ICC) ? content : undefined
    }
    if (startsWith(content, EXIF) && !image.hasExif) {
      image.hasExif = true
      const tiff = content.subarray(EXIF_HEADER_BYTES)
      stripExif(tiff, this.#what)
      if (isLocation) return content
      return readOrientation(tiff) ? content.subarray(0, EXIF_HEADER_BYTES + ORIENTATION_BYTES) : undefined
    }
    if (startsWith(content, XMP) && !image.hasXmp && this.#keepsGainMap) {
      image.hasXmp = true
      stripXmp(content.subarray(XMP.length), isLocation ? 'location' : 'gainMap')
      return content
    }
    return undefined
  }

  #until(request: typeof keepUntil, finder: Finder): EditRequest {
    const isDropped = request === dropUntil
    return request((chunk, at) => {
      const stop = finder(chunk, at)
      const bytes = (stop < 0 ? chunk.length : stop) - at
      this.#read += bytes
      if (isDropped) this.#removed += bytes
      return stop
    })
  }

  #hold(bytes: number): EditRequest {
    this.#read += bytes
    this.#removed += bytes
    return hold(bytes)
  }

  #put(bytes: Buffer): EditRequest {
    this.#removed -= bytes.length
    return put(bytes)
  }

  #keep(bytes: number): EditRequest {
    this.#read += bytes
    return keep(bytes)
  }

  #drop(bytes: number): EditRequest {
    this.#read += bytes
    this.#removed += bytes
    return drop(bytes)
  }

  /** Keeps the length of the next bytes, but not what they say. */
  #zero(bytes: number): EditRequest {
    this.#read += Math.max(0, bytes)
    return blank(bytes)
  }
}

/** What has come of an image. */
interface Progress {
  hasExif: boolean
  hasXmp: boolean
  hasScan: boolean
}

const SOI = 0xd8
const SOS = 0xda
const EOI = 0xd9
const APP0 = 0xe0
const APP1 = 0xe1
const APP2 = 0xe2
const APP13 = 0xed
const APP14 = 0xee
const COM = 0xfe

/** Comments and application segments, of which some are kept. */
const INSPECTED: ReadonlySet<number> = new Set([COM, APP0, APP1, APP2, APP13, APP14])

/** APP15, which no reader looks into. */
const FILLER = 0xef

/** Of a segment without its content: the marker and the length. */
const SEGMENT_BYTES = 4

/** Most segments of a file, after which it ends: they take half a second a MiB if they are empty. Photos have less than a thousand. */
const MAX_SEGMENTS = 10_000

/** What the content of a segment starts with. */
const JFIF = Buffer.from('JFIF\0')
const JFXX = Buffer.from('JFXX\0')
const EXIF = Buffer.from('Exif\0')
const XMP = Buffer.from('http://ns.adobe.com/xap/1.0/\0')
const ICC = Buffer.from('ICC_PROFILE\0')
const MULTI_PICTURE = Buffer.from('MPF\0')
const ISO_GAIN_MAP = Buffer.from('urn:iso:std:iso:ts:21496:-1\0')
const PHOTOSHOP = Buffer.from('Photoshop 3.0\0')
const ADOBE = Buffer.from('Adobe')

/** The namespace of the parameters of Ultra HDR 1.1. */
const HDR_GAIN_MAP = Buffer.from('http://ns.adobe.com/hdr-gain-map/1.0/')

/** In bytes. Room for Exif, XMP and a profile of full length; the whole head of a photo can be 5 MiB. */
const GAIN_MAP_WINDOW = 256 * 1024

/** Most bytes of the segment of ISO 21496-1, whose parameters take less than 200. */
const MAX_ISO_GAIN_MAP = 512

/** The name is followed by another byte, of any value. */
const EXIF_HEADER_BYTES = 6

function startsWith(content: Buffer, name: Buffer): boolean {
  return content.subarray(0, name.length).equals(name)
}

/** Keeps the header of JFIF, and its thumbnails (ITU-T T.871 section 10) on request. */
function stripJfif(content: Buffer, keepsThumbnail: boolean): Buffer | undefined {
  if (startsWith(content, JFXX) && keepsThumbnail) {
    if (content[JFXX.length] === 0x10) stripThumbnail(content.subarray(JFXX.length + 1))
    return content
  }
  if (!startsWith(content, JFIF) || content.length < 14) return undefined
  if (!keepsThumbnail) content.fill(0, 12, 14)
  return content.subarray(0, 14 + 3 * content.readUInt8(12) * content.readUInt8(13))
}

/** @param isStarted whether its first byte, 0xff, is already written */
function segment(isStarted: boolean, marker: number, content: Buffer): Buffer {
  return Buffer.concat([segmentStart(isStarted, marker, content.length + 2), content])
}

function segmentStart(isStarted: boolean, marker: number, length: number): Buffer {
  return Buffer.from(isStarted ? [marker, length >> 8, length] : [0xff, marker, length >> 8, length])
}

/** Returns bytes between segments that mean nothing: a segment of zeros, or the fill bytes of T.81 section B.1.1.2. */
function filler(bytes: number): Buffer {
  return bytes < SEGMENT_BYTES ? Buffer.alloc(bytes, 0xff) : segment(false, FILLER, Buffer.alloc(bytes - SEGMENT_BYTES))
}

/**
 * Tables, frames, scans and restart intervals: SOF0 to SOF15 with DHT and DAC among them, and SOS to DRI. Not DHP and EXP, of hierarchical
 * images: decoders refuse these, and a damaged length of one could keep what other readers find in it.
 */
function isOfPicture(marker: number): boolean {
  return (marker >= 0xc0 && marker <= 0xcf) || (marker >= SOS && marker <= 0xdd)
}

/**
 * Returns a finder of the code of the next marker. Between segments, stray bytes, TEM, RST0 to RST7 and SOI are passed over, as decoders do.
 * In a scan, zeros are stuffed after 0xff and RST0 to RST7 are a part of it; decoders ignore the codes below SOF0.
 */
function markerFinder(isInScan: boolean): Finder {
  const first = isInScan ? 0xc0 : 0x02
  const lastPassed = isInScan ? 0xd7 : SOI
  let isStarted = false
  return (chunk, from) => {
    let at = isStarted ? from : chunk.indexOf(0xff, from)
    while (at >= 0) {
      while (chunk[at] === 0xff) at += 1
      const code = chunk[at]
      isStarted = code === undefined
      if (code === undefined) return -1
      if (code >= first && (code < 0xd0 || code > lastPassed)) return at
      at = chunk.indexOf(0xff, at + 1)
    }
    return -1
  }
}

/** Zeroes what a finder passes over, except the bytes of 0xff, with which the marker starts. */
function zeroing(finder: Finder): Finder {
  return (chunk, from) => {
    const stop = finder(chunk, from)
    const end = stop < 0 ? chunk.length : stop
    for (let at = from; at < end; at += 1) if (chunk[at] !== 0xff) chunk[at] = 0
    return stop
  }
}
