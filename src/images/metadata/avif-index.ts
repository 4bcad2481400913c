import { readPrimaryItem } from '../avif.ts'
import { type Box, findBox, MAX_BOXES, readBoxes } from '../boxes.ts'
import type { Stripped } from '../types.ts'
import { readItemTypes, readLocations, readThumbnails } from './avif-items.ts'
import { readHandler, readSampleRanges } from './avif-track.ts'
import { MAX_BLOCK } from './editor.ts'
import { type Metadata, OutOfReach, type Range } from './ranges.ts'

/** Where an index says that bytes are, counted from the start of the file. */
export interface Index {
  readonly pictures: Range[]
  readonly metadata: Metadata[]
  /** The contents of `idat` boxes, which are in the index themselves. */
  readonly data: Range[]
}

/**
 * Removes the boxes that are not of the picture from the content of a `meta` or `moov` box (ISO/IEC 14496-12 sections 8.11 and 8.2), in
 * place, and tells where the pictures and the metadata are.
 *
 * @param start where the content begins in the file
 * @throws {OutOfReach} if the index is too large, or metadata cannot be found
 */
export function stripIndex(type: 'meta' | 'moov', content: Buffer, start: number, what: Stripped): Index {
  const index: Index = { pictures: [], metadata: [], data: [] }
  if (type === 'meta') readItems(content, start, what, index)
  else {
    if (content.length > MAX_BLOCK) throw new OutOfReach()
    for (const track of readBoxes(content))
      if (track.type === 'trak') readTrack(track, start + offsetOf(track.content, content), what, index)
  }
  stripBoxes(type, content, what)
  return index
}

/** Reads the items of a `meta` box: ISO/IEC 14496-12 section 8.11 and ISO/IEC 23008-12. */
function readItems(meta: Buffer, start: number, what: Stripped, index: Index): void {
  const children = readBoxes(meta.subarray(4))
  const data = children.find((box) => box.type === 'idat')?.content
  const contentOf = (type: string) => children.find((box) => box.type === type)?.content ?? Buffer.alloc(0)
  if (meta.length - (data?.length ?? 0) > MAX_BLOCK) throw new OutOfReach()
  const idat = data && { start: start + offsetOf(data, meta), end: start + offsetOf(data, meta) + data.length }
  if (idat) index.data.push(idat)
  const types = readItemTypes(contentOf('iinf'))
  const primary = readPrimaryItem(contentOf('pitm'))
  const removed = what === 'all' ? readThumbnails(contentOf('iref')) : new Set<number>()
  for (const { id, extents } of readLocations(contentOf('iloc'), idat)) {
    const item = types.get(id)
    const isPicture =
      id === primary ? item?.kind === undefined : PICTURE_ITEMS.has(item?.type ?? '') && !removed.has(id)
    if (isPicture) append(index.pictures, extents)
    else {
      // Nothing of XMP stays if everything is to be removed
      const isCleaned = extents.length === 1 && !(what === 'all' && item?.kind === 'xmp') && !removed.has(id)
      const kind = (isCleaned && item?.kind) || 'other'
      // A thumbnail that shares bytes with the picture stays
      const hide = item && !removed.has(id) ? { hide: item.hide } : {}
      if (kind === 'other') hide.hide?.()
      append(
        index.metadata,
        extents.map((extent) => ({ ...extent, kind, ...hide })),
      )
    }
  }
}

/** Types of items that are images, or are made of images: those of AV1 and of ISO/IEC 23008-12. */
const PICTURE_ITEMS = new Set(['av01', 'grid', 'iden', 'iovl', 'tmap', 'sato', 'hvc1', 'avc1', 'unci', 'mski'])

/** Reads where the samples of a track are (section 8.3). A track of anything else than pictures or sound is removed. */
function readTrack(track: Box, start: number, what: Stripped, index: Index): void {
  for (const { type, content } of readBoxes(track.content))
    if (type === 'meta') readItems(content, start + offsetOf(content, track.content), what, index)
  const samples = readSampleRanges(findBox(track.content, 'mdia', 'minf', 'stbl'))
  if (KEPT_HANDLERS.has(readHandler(track.content) ?? 'pict')) {
    append(index.pictures, samples ?? [])
    return
  }
  if (!samples) throw new OutOfReach()
  append(
    index.metadata,
    samples.map((range) => ({ ...range, kind: 'other' as const })),
  )
  free(track)
}

const KEPT_HANDLERS = new Set(['pict', 'vide', 'auxv', 'soun'])

const PROPERTIES =
  'av1C a1op a1lx lsel ispe pixi colr auxC irot imir clap pasp clli mdcv cclv amve ndwt reve rloc iscl hvcC avcC uncC cmpd'
/** The boxes of a picture, by the box that they are in. */
const PICTURE_BOXES: Readonly<Record<string, string>> = {
  meta: 'hdlr pitm iinf iloc iref iprp idat dinf grpl',
  iprp: 'ipco ipma',
  ipco: PROPERTIES,
  moov: 'mvhd mvex trak',
  trak: 'tkhd tref edts mdia meta',
  mdia: 'mdhd hdlr elng minf',
  minf: 'vmhd smhd nmhd dinf stbl',
  stbl: 'stsd stts ctts cslg stsc stsz stz2 stco co64 stss stsh sdtp sbgp sgpd subs padb stdp saiz saio',
  av01: `${PROPERTIES} ccst auxi btrt`,
}
/**
 * Properties that describe an item in words, or give its dates (ISO/IEC 23008-12 section 6.5). They have no field for a position, so
 * `location` keeps them.
 */
const LABELS = ['udes', 'altt', 'crtt', 'mdft']
/** Bytes before the boxes in a box: version and flags, or the fields of a sample entry of pictures (ISO/IEC 14496-12 section 12.1.3). */
const FIELDS: Readonly<Record<string, number>> = { meta: 4, av01: 78 }

/** Boxes that may have only one child of each type. Further ones are removed: a reader might use one of them instead of the first. */
const UNIQUE = new Set(['meta', 'mdia'])

/** Turns every box that is not of the picture into a `free` one of zeros (section 8.1.2), so that no offset changes. */
function stripBoxes(parent: string, content: Buffer, what: Stripped): void {
  const kept = new Set(PICTURE_BOXES[parent]?.split(' '))
  if (parent === 'ipco' && what === 'location') for (const type of LABELS) kept.add(type)
  const fields = FIELDS[parent] ?? 0
  const boxes = readBoxes(content.subarray(fields))
  if (boxes.length === MAX_BOXES) throw new OutOfReach()
  const seen = new Set<string>()
  for (const box of boxes) {
    const isSecond = UNIQUE.has(parent) && seen.has(box.type)
    seen.add(box.type)
    if (!kept.has(box.type) || isSecond) free(box)
    else if (box.type in PICTURE_BOXES) stripBoxes(box.type, box.content, what)
    else if (box.type === 'stsd') stripSampleEntries(box.content, what)
    else if (what === 'all' && DATED.includes(box.type)) blankDates(box.content)
  }
  const last = boxes.at(-1)
  content.fill(0, fields + (last ? last.start + last.whole.length : 0))
}

function stripSampleEntries(stsd: Buffer, what: Stripped): void {
  for (const entry of readBoxes(stsd.subarray(8))) if (entry.type === 'av01') stripBoxes('av01', entry.content, what)
}

/** Headers of the movie, a track and its media, which begin with the times of creation and modification (section 8.2.2). */
const DATED = ['mvhd', 'tkhd', 'mdhd']

function blankDates(header: Buffer): void {
  header.fill(0, 4, header[0] === 1 ? 20 : 12)
}

function free(box: Box): void {
  box.whole.write('free', 4, 'latin1')
  box.content.fill(0)
}

/** Most places to remember. A grid of 1,000 tiles has as many. */
const MAX_PLACES = 10_000

/** @throws {OutOfReach} */
function append<T>(places: T[], more: readonly T[]): void {
  for (const place of more) places.push(place)
  if (places.length > MAX_PLACES) throw new OutOfReach()
}

function offsetOf(part: Buffer, whole: Buffer): number {
  return part.byteOffset - whole.byteOffset
}
