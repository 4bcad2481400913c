import { createHash } from 'node:crypto'
import { text } from 'node:stream/consumers'
import { recordKey, WRITTEN_BY_US } from '../layout/story.ts'
import type { ObjectStore } from '../store/object-store.ts'

/** A record of 10,000 images, the most that MAX_FILES can allow, has about 2 MiB. */
export const MAX_RECORD_BYTES = 8 * 1024 * 1024

/** What the commit record says of an image. */
export interface ManifestImage {
  readonly name: string
  readonly type: string
  readonly size: number
  readonly width: number
  readonly height: number
  readonly sha256: string
}

/** SHA-256 of the images' digests, one after another, in hexadecimal. */
export function fingerprintOf(manifest: readonly ManifestImage[]): string {
  const digests = createHash('sha256')
  for (const image of manifest) digests.update(image.sha256, 'hex')
  return digests.digest('hex')
}

/**
 * Writes the commit record. If the store's response gets lost, what is stored decides. A record whose write has failed can still
 * arrive.
 *
 * @param idempotencyRecord key of that of an upload with an Idempotency-Key
 */
export async function writeRecord(
  store: ObjectStore,
  id: string,
  manifest: readonly ManifestImage[],
  idempotencyRecord?: string,
): Promise<void> {
  const key = recordKey(id, manifest.length, idempotencyRecord !== undefined)
  const fingerprint = fingerprintOf(manifest)
  const record = Buffer.from(JSON.stringify({ version: 1, images: manifest, fingerprint, claim: idempotencyRecord }))
  async function* body() {
    yield record
  }
  try {
    await store.put(key, body(), { contentType: 'application/json', metadata: WRITTEN_BY_US })
  } catch (error) {
    const isThere = await store.head(key).then(
      () => true,
      () => false,
    )
    if (!isThere) throw error
  }
}

/**
 * Reads the size of an image from its story's commit record: the metadata of an image whose size came late in its file has none.
 *
 * @param key of the image
 * @returns undefined if there is no record, or the record does not say
 * @throws {ServiceError} of the store
 */
export async function readRecordedSize(
  store: ObjectStore,
  key: string,
  signal: AbortSignal,
): Promise<Pick<ManifestImage, 'width' | 'height'> | undefined> {
  const folder = key.slice(0, key.lastIndexOf('/') + 1)
  for await (const page of store.list({ prefix: `${folder}0.`, signal })) {
    const record = page[0]
    if (!record || record.size > MAX_RECORD_BYTES) return undefined
    const { body } = await store.get(record.key, { signal })
    const { images } = parseObject(await text(body))
    if (!Array.isArray(images)) return undefined
    return images.find((image) => folder + image?.name === key)
  }
  return undefined
}

function parseObject(text: string): Partial<Record<string, unknown>> {
  try {
    return Object(JSON.parse(text))
  } catch {
    return {}
  }
}
