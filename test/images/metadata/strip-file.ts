import sharp from 'sharp'
import { EditRun } from '../../../src/images/metadata/editor.ts'
import { stripMetadata } from '../../../src/images/metadata/strip.ts'
import type { ImageType, Stripped } from '../../../src/images/types.ts'
import { sample } from '../../support/extent.ts'

export const BOTH: readonly Stripped[] = ['location', 'all']

/** Strips a copy of a file that arrives in pieces: the head, and then others of the same length. */
export function strip(
  type: ImageType,
  file: Buffer,
  what: Stripped,
  headBytes = file.length,
  pieceBytes = file.length,
): Buffer {
  const copy = Buffer.from(file)
  const head = copy.subarray(0, headBytes)
  const run = new EditRun(stripMetadata(type, head, what, 1))
  const parts = run.push(head)
  for (let at = headBytes; at < copy.length; at += pieceBytes)
    parts.push(...run.push(Buffer.from(copy.subarray(at, at + pieceBytes))))
  return Buffer.concat([...parts, ...run.end()])
}

/** Strips a file in two pieces with every cut (in `npm test` some), and in pieces of one to three bytes. Returns the cuts whose result differs. */
export function cutsThatMatter(type: ImageType, file: Buffer, what: Stripped, firstCut = 1): string[] {
  const whole = strip(type, file, what)
  const found: string[] = []
  const cuts = Array.from({ length: file.length - firstCut }, (_, at) => firstCut + at)
  for (const head of sample(cuts, 50))
    for (const pieces of head === firstCut ? [1, 2, 3, file.length] : [file.length])
      if (!strip(type, file, what, head, pieces).equals(whole)) found.push(`${head} bytes and pieces of ${pieces}`)
  return found
}

/** Decodes all frames. */
export async function pixels(file: Buffer): Promise<Buffer> {
  return await sharp(file, { animated: true }).raw().toBuffer()
}
