import { findBox } from '../boxes.ts'
import type { Range } from './ranges.ts'

/** Reads what a track holds, such as `pict`, from its `hdlr` box (ISO/IEC 14496-12 section 8.4.3). */
export function readHandler(track: Buffer): string | undefined {
  return findBox(track, 'mdia', 'hdlr')?.toString('latin1', 8, 12)
}

/** Reads where the samples of a track are, by chunk, from its `stbl` box (section 8.5). Returns undefined if a table is missing. */
export function readSampleRanges(stbl: Buffer | undefined): Range[] | undefined {
  const [sizes, groups] = [findBox(stbl, 'stsz'), findBox(stbl, 'stsc')]
  const offsets = findBox(stbl, 'stco')
  const largeOffsets = findBox(stbl, 'co64')
  const table = offsets ?? largeOffsets
  if (!sizes || !groups || !table || sizes.length < 12 || groups.length < 8 || table.length < 8) return undefined
  const fixedSize = sizes.readUInt32BE(4)
  const width = offsets ? 4 : 8
  const ranges: Range[] = []
  let group = 8
  let sample = 12
  for (let chunk = 1, at = 8; at + width <= table.length; chunk += 1, at += width) {
    // The next group of chunks begins with its first chunk (section 8.7.4)
    while (group + 24 <= groups.length && groups.readUInt32BE(group + 12) <= chunk) group += 12
    const samples = group + 12 <= groups.length ? groups.readUInt32BE(group + 4) : 0
    let length = samples * fixedSize
    if (fixedSize === 0) {
      const end = Math.min(sample + 4 * samples, sizes.length - 3)
      for (; sample < end; sample += 4) length += sizes.readUInt32BE(sample)
    }
    const start = width === 4 ? table.readUInt32BE(at) : Number(table.readBigUInt64BE(at))
    if (length > 0) ranges.push({ start, end: start + length })
  }
  return ranges
}
