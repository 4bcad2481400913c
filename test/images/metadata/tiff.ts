/** A tag of a TIFF directory, with its value as bytes, the offset of a directory, or those of a thumbnail. */
export type Tag =
  | { readonly tag: number; readonly type: 2 | 3 | 4 | 5 | 7; readonly value: Buffer }
  | { readonly tag: number; readonly directory: readonly Tag[] }
  | { readonly thumbnail: Buffer }

/** What values hold that have to be removed. */
export const SECRET = Buffer.from('SECRET-PLACE')

/** Writes a TIFF file (TIFF 6.0 section 2) with one directory, or two. */
export function makeTiff(little: boolean, ...directories: (readonly Tag[])[]): Buffer {
  const parts: Buffer[] = []
  let end = 8
  const append = (bytes: Buffer): number => {
    const at = end
    parts.push(bytes, Buffer.alloc(bytes.length & 1))
    end += bytes.length + (bytes.length & 1)
    return at
  }
  const u16 = (value: number) => ordered(little, 2, value)
  const u32 = (value: number) => ordered(little, 4, value)
  const entry = (tag: number, type: number, count: number, value: Buffer): Buffer => {
    const inline = value.length <= 4 ? Buffer.concat([value, Buffer.alloc(4 - value.length)]) : u32(append(value))
    return Buffer.concat([u16(tag), u16(type), u32(count), inline])
  }
  const write = (tags: readonly Tag[], next: number): number => {
    const entries = tags.flatMap((tag) => {
      if ('thumbnail' in tag)
        return [entry(0x0201, 4, 1, u32(append(tag.thumbnail))), entry(0x0202, 4, 1, u32(tag.thumbnail.length))]
      if ('directory' in tag) return [entry(tag.tag, 4, 1, u32(write(tag.directory, 0)))]
      return [entry(tag.tag, tag.type, tag.value.length / (TYPE_BYTES[tag.type] ?? 1), tag.value)]
    })
    return append(Buffer.concat([u16(entries.length), ...entries, u32(next)]))
  }
  let next = 0
  for (const tags of directories.toReversed()) next = write(tags, next)
  return Buffer.concat([Buffer.from(little ? 'II*\0' : 'MM\0*', 'latin1'), u32(next), ...parts])
}

function ordered(little: boolean, bytes: 2 | 4, value: number): Buffer {
  const buffer = Buffer.alloc(bytes)
  if (little) buffer.writeUIntLE(value, 0, bytes)
  else buffer.writeUIntBE(value, 0, bytes)
  return buffer
}

const TYPE_BYTES: Readonly<Record<number, number>> = { 2: 1, 3: 2, 4: 4, 5: 8, 7: 1 }

/** Reads the values of a TIFF file by their path, such as `0/8769/9003`; a directory has the number of its entries. */
export function readTiff(tiff: Buffer): Map<string, string | number> {
  const found = new Map<string, string | number>()
  const little = tiff.toString('latin1', 0, 2) === 'II'
  const read = (at: number, bytes: 2 | 4) => (little ? tiff.readUIntLE(at, bytes) : tiff.readUIntBE(at, bytes))
  const visit = (at: number, path: string, depth: number): number => {
    const count = read(at, 2)
    found.set(path, count)
    for (let entry = at + 2, n = 0; n < count; entry += 12, n += 1) {
      const tag = `${path}/${read(entry, 2).toString(16)}`
      const length = read(entry + 4, 4) * (TYPE_BYTES[read(entry + 2, 2)] ?? 1)
      const start = length > 4 ? read(entry + 8, 4) : entry + 8
      if (/8769$|a005$|8825$/.test(tag) && depth < 5) visit(read(entry + 8, 4), tag, depth + 1)
      else found.set(tag, tiff.toString('latin1', start, start + length).replace(/\0+$/, ''))
    }
    return at + 2 + 12 * count + 4 <= tiff.length ? read(at + 2 + 12 * count, 4) : 0
  }
  for (let at = read(4, 4), n = 0; at > 0 && n < 3; n += 1) at = visit(at, String(n), 0)
  return found
}
