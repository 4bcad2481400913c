import { createHash } from 'node:crypto'
import type { ObjectStore } from '../store/object-store.ts'
import { recordKey, WRITTEN_BY_US } from './key.ts'

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
 * Writes the commit record. If the store's answer gets lost, what is stored decides. A record whose write has failed can still
 * arrive.
 *
 * @param claim key of the claim of an upload with an Idempotency-Key
 */
export async function writeRecord(
  store: ObjectStore,
  id: string,
  manifest: readonly ManifestImage[],
  claim?: string,
): Promise<void> {
  const key = recordKey(id, manifest.length, claim !== undefined)
  const fingerprint = fingerprintOf(manifest)
  const record = Buffer.from(JSON.stringify({ version: 1, images: manifest, fingerprint, claim }))
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
