import { ImageReadError } from './error.ts'

/** An image that is not a `Blob`. In browsers there are only `Blob`s. */
export interface ImageSource {
  /** In bytes. */
  readonly size: number
  /** Reads the image from its beginning; called once for each try. */
  stream(): AsyncIterable<Uint8Array>
}

export interface UploadProgress {
  /** Bytes of the request that were sent. */
  readonly loaded: number
  /** Bytes of the request. */
  readonly total: number
  /** Bytes of each image that were sent. */
  readonly images: readonly number[]
}

const HEAD = 'Content-Disposition: form-data; name="files"; filename="image"\r\nContent-Type: application/octet-stream'

/** A multipart form of images (RFC 7578). The bytes of an image are read when they are sent. */
export class Form {
  readonly #images: readonly (Blob | ImageSource)[]
  readonly #boundary = `story-images-${randomKey()}`
  readonly #head = `--${this.#boundary}\r\n${HEAD}\r\n\r\n`
  readonly #tail = `--${this.#boundary}--\r\n`
  readonly type = `multipart/form-data; boundary=${this.#boundary}`
  /** In bytes. */
  readonly size: number
  #failure: ImageReadError | undefined

  constructor(images: Iterable<Blob | ImageSource>) {
    this.#images = [...images]
    this.size = this.#tail.length
    for (const { size } of this.#images) this.size += this.#head.length + size + 2
  }

  toBlob(): Blob {
    const parts = this.#images.flatMap((image) => {
      if (!(image instanceof Blob)) throw new TypeError('Browsers upload only Blobs')
      return [this.#head, image, '\r\n']
    })
    return new Blob([...parts, this.#tail], { type: this.type })
  }

  async *toChunks(): AsyncGenerator<Uint8Array> {
    const encoder = new TextEncoder()
    for (const [index, image] of this.#images.entries()) {
      yield encoder.encode(this.#head)
      try {
        let missing = image.size
        for await (const chunk of image.stream() as AsyncIterable<Uint8Array>) {
          missing -= chunk.byteLength
          if (missing < 0) break
          yield chunk
        }
        if (missing !== 0) throw new Error(`it became ${missing > 0 ? 'shorter' : 'longer'} while it was sent`)
      } catch (error) {
        this.#failure = new ImageReadError(index, error)
        throw this.#failure
      }
      yield encoder.encode('\r\n')
    }
    yield encoder.encode(this.#tail)
  }

  /** @param loaded bytes of the form that were sent */
  progress(loaded: number): UploadProgress {
    let start = 0
    const images = this.#images.map(({ size }) => {
      start += this.#head.length
      const sent = Math.max(0, Math.min(size, loaded - start))
      start += size + 2
      return sent
    })
    return { loaded, total: this.size, images }
  }

  /**
   * Checks whether an image was the reason that sending the form has failed.
   *
   * @throws {ImageReadError}
   */
  async checkImages(): Promise<void> {
    if (this.#failure) throw this.#failure
    for (const [index, image] of this.#images.entries()) {
      if (!(image instanceof Blob)) continue
      await image
        .slice(0, 1)
        .arrayBuffer()
        .catch((error) => {
          throw new ImageReadError(index, error)
        })
    }
  }
}

/** Returns 128 random bits in hexadecimal. `crypto.randomUUID` exists only for pages of secure origins. */
export function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
