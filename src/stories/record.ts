import { createHash } from 'node:crypto'
import { OutcomeUnknown } from '../errors.ts'
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

/**
 * Writes the commit record. If the store's answer gets lost, what is stored decides.
 *
 * @throws {OutcomeUnknown} when it can't be told whether the record is there
 */
export async function writeRecord(store: ObjectStore, id: string, manifest: readonly ManifestImage[]): Promise<void> {
  const key = recordKey(id, manifest.length)
  const digests = createHash('sha256')
  for (const image of manifest) digests.update(image.sha256, 'hex')
  const record = Buffer.from(JSON.stringify({ version: 1, images: manifest, fingerprint: digests.digest('hex') }))
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
    if (isThere) return
    // Late or not, the record must not come to stand beside images that are being removed
    await store.delete([key]).catch((deletion) => {
      throw new OutcomeUnknown().because(deletion)
    })
    throw error
  }
}
