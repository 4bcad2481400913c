import { bigImage, makeImage } from '../support/images.ts'
import { chance, oneOf } from '../support/random.ts'

interface Picture {
  readonly type: string
  readonly bytes: Buffer
}

/** At the end of each image: which upload it is of, and which of its images it is. Decoders read no further than the image. */
const TAG = /^#( *\d+):( *\d+)#$/
const TAG_BYTES = 32

const tagOf = (content: number, image: number) =>
  Buffer.from(`#${String(content).padStart(14)}:${String(image).padStart(15)}#`)

/** Real images of all types, 300 bytes to 5.5 MiB, of which each upload sends some with its number in them. */
export class Pictures {
  readonly #small: readonly Picture[]
  readonly #medium: readonly Picture[]
  readonly #large: readonly Picture[]
  readonly #contents: (readonly Picture[])[] = []

  private constructor(small: readonly Picture[], medium: readonly Picture[], large: readonly Picture[]) {
    this.#small = small
    this.#medium = medium
    this.#large = large
  }

  static async make(): Promise<Pictures> {
    const make = async (type: 'jpg' | 'png' | 'gif' | 'webp' | 'avif', width: number, height: number) => ({
      type,
      bytes: await makeImage({ type, width, height }),
    })
    return new Pictures(
      await Promise.all([
        make('jpg', 40, 30),
        make('png', 20, 15),
        make('gif', 16, 16),
        make('webp', 64, 48),
        make('avif', 64, 64),
        make('jpg', 160, 120),
      ]),
      await Promise.all([make('png', 120, 100), make('jpg', 500, 400), make('png', 300, 320)]),
      // More than a part of an S3 multipart upload
      [{ type: 'png', bytes: await bigImage(5.5 * 1024 * 1024) }],
    )
  }

  /** The images of a new upload: its number, and the names under which they are stored. */
  draw(random: () => number): { number: number; names: string } {
    const count = 1 + Math.floor(random() * 6)
    const pictures = Array.from({ length: count }, () =>
      chance(0.03, random)
        ? oneOf(this.#large, random)
        : oneOf(chance(0.15, random) ? this.#medium : this.#small, random),
    )
    const number = this.#contents.push(pictures) - 1
    return { number, names: pictures.map(({ type }, index) => `${index + 1}.${type}`).join(',') }
  }

  count(content: number): number {
    return this.#contents[content]?.length ?? 0
  }

  /** The pieces of an image, from 1. */
  pieces(content: number, image: number): Buffer[] {
    const picture = this.#contents[content]?.[image - 1]
    return picture ? [picture.bytes, tagOf(content, image)] : []
  }

  /** Whose image these bytes are, compared with all that was sent. */
  identify(bytes: Buffer): { content: number; image: number } | 'damaged' {
    const [, first, second] = TAG.exec(bytes.toString('latin1', Math.max(0, bytes.length - TAG_BYTES))) ?? []
    const [content, image] = [Number(first), Number(second)]
    const [sent] = this.pieces(content, image)
    return sent?.equals(bytes.subarray(0, -TAG_BYTES)) ? { content, image } : 'damaged'
  }
}
