import {
  type DeleteMarkerEntry,
  GetBucketLifecycleConfigurationCommand,
  ListObjectVersionsCommand,
  type ObjectVersion,
} from '@aws-sdk/client-s3'
import { DeletedNotKept, VersionsHidden } from '../../errors.ts'
import { compareKeys, type DeletedObject, type DeletedObjects, type ListOptions } from '../object-store.ts'
import type { S3Bucket } from './bucket.ts'
import { openDeleteTargets, type Target } from './delete.ts'
import { decodeName } from './list-xml.ts'
import { isNotImplemented, statusOf, storeError } from './store-error.ts'
import type { Versioning } from './versioning.ts'

const DAY_MS = 24 * 3_600_000

/** Keys whose versions are collected for one page, or removed at once. */
const KEYS_AT_ONCE = 1000

interface Version {
  readonly id: string
  readonly isLatest: boolean
  readonly size: number
  readonly time: number
}

/** A key with its versions: those with bytes, and delete markers. A list has the order of each kind, but not of both. */
interface VersionedKey {
  readonly key: string
  readonly versions: Version[]
  readonly markers: Version[]
}

/**
 * Makes `ObjectStore.deleted` of a bucket with versioning. A deleted object is one whose newest version is a delete marker (AWS, "Working
 * with delete markers"); without its markers it is there again. Needs `s3:ListBucketVersions`, and `s3:DeleteObjectVersion` to restore
 * and purge.
 */
export function openVersions(bucket: S3Bucket, versioning: () => Promise<Versioning>): DeletedObjects {
  const remove = openDeleteTargets(bucket)

  return {
    async isKept() {
      const status = await versioning()
      // With suspended versioning only what was put before is kept (AWS, "Deleting objects from versioning-suspended buckets")
      return status === 'enabled' ? true : status === 'never' ? false : undefined
    },

    async *list(options) {
      const expires = await readExpiry(bucket)
      let page: DeletedObject[] = []
      for await (const found of versionsByKey(bucket, versioning, options)) {
        const object = deletedObject(found, expires)
        if (object) page.push(object)
        if (page.length < KEYS_AT_ONCE) continue
        yield page
        page = []
      }
      if (page.length > 0) yield page
    },

    restore: (objects) =>
      remove(objects.flatMap(({ key, handles }) => handles.map((versionId) => ({ key, versionId })))),

    async purge(options) {
      let bytes: Target[] = []
      let markers: Target[] = []
      const flush = async () => {
        // A key without its markers would be there again, if it had bytes
        await remove(bytes)
        await remove(markers)
        bytes = []
        markers = []
      }
      try {
        for await (const found of versionsByKey(bucket, versioning, options)) {
          const targetOf = ({ id: versionId }: Version) => ({ key: found.key, versionId })
          bytes.push(...found.versions.filter(({ isLatest }) => !isLatest).map(targetOf))
          markers.push(...found.markers.map(targetOf))
          if (bytes.length + markers.length >= KEYS_AT_ONCE) await flush()
        }
        await flush()
      } catch (error) {
        if (!(error instanceof DeletedNotKept)) throw error
      }
    },
  }
}

/** Returns what can be restored of a key, or undefined if it has an object, or no version with bytes. */
function deletedObject({ key, versions, markers }: VersionedKey, expires: Expiry): DeletedObject | undefined {
  const [newest] = versions
  if (!newest || !markers.some(({ isLatest }) => isLatest)) return undefined
  const times = markers.map(({ time }) => time)
  // Where it was deleted several times in a row, the first one counts. AWS tells times to the second
  const deletedAt = Math.min(Math.max(...times), ...times.filter((time) => time >= newest.time))
  const wasReused = times.some((time) => time < newest.time)
  return {
    key,
    size: newest.size,
    deletedAt: new Date(deletedAt),
    reusedAt: wasReused ? new Date(newest.time) : undefined,
    until: expires(key, deletedAt),
    // Those below the newest version hide nothing
    handles: markers.map(({ id }) => id),
  }
}

/** Returns until when a bucket keeps what was deleted at a time, or undefined if it does not tell. */
type Expiry = (key: string, deletedAt: number) => Date | undefined

/**
 * Reads when noncurrent versions expire (AWS, "Lifecycle configuration elements"): a whole number of days after the next version, or the
 * marker, has come.
 */
async function readExpiry({ client, settings, full, bounded }: S3Bucket): Promise<Expiry> {
  const command = new GetBucketLifecycleConfigurationCommand({ Bucket: settings.bucket })
  // Without the permission, or without rules
  const response = await client.send(command, bounded()).catch(() => undefined)
  const rules = (response?.Rules ?? []).flatMap((rule) => {
    const { NoncurrentDays: days, NewerNoncurrentVersions: spared } = rule.NoncurrentVersionExpiration ?? {}
    const { Prefix: prefix = rule.Filter?.And?.Prefix ?? rule.Prefix ?? '' } = rule.Filter ?? {}
    return rule.Status === 'Enabled' && days !== undefined && spared === undefined ? [{ days, prefix }] : []
  })
  return (key, deletedAt) => {
    const days = rules.filter(({ prefix }) => full(key).startsWith(prefix)).map(({ days }) => days)
    return days.length > 0 ? new Date(deletedAt + Math.min(...days) * DAY_MS) : undefined
  }
}

type Listed = Pick<ObjectVersion & DeleteMarkerEntry, 'Key' | 'VersionId' | 'IsLatest' | 'LastModified' | 'Size'>

/**
 * Yields the keys below a prefix with all their versions, in order (AWS, "ListObjectVersions").
 *
 * @throws {DeletedNotKept} if the bucket has no versions
 * @throws {VersionsHidden} if it may have some, and the credentials may not list them
 */
async function* versionsByKey(
  { client, settings, full, own, bounded }: S3Bucket,
  versioning: () => Promise<Versioning>,
  { prefix, signal }: Pick<ListOptions, 'prefix' | 'signal'>,
): AsyncGenerator<VersionedKey> {
  let current: VersionedKey | undefined
  let next: { KeyMarker: string | undefined; VersionIdMarker: string | undefined } | undefined
  do {
    const command = new ListObjectVersionsCommand({
      Bucket: settings.bucket,
      Prefix: full(prefix),
      EncodingType: 'url',
      ...next,
    })
    const response = await client.send(command, bounded(signal)).catch(async (error) => {
      const isRefused = statusOf(error) === 403
      if (isNotImplemented(error) || (isRefused && (await versioning()) === 'never'))
        throw new DeletedNotKept({ cause: error })
      if (isRefused) throw new VersionsHidden({ cause: error })
      throw storeError(error, '', signal)
    })
    const { Versions = [], DeleteMarkers = [], EncodingType } = response
    const read = (name = '') => (EncodingType === 'url' ? decodeName(name) : name)
    const found = new Map<string, VersionedKey>()
    const add = (kind: 'versions' | 'markers', list: readonly Listed[]) => {
      for (const { Key, VersionId: id = 'null', IsLatest: isLatest = false, Size: size = 0, LastModified } of list) {
        const key = own(read(Key))
        const of = found.get(key) ?? { key, versions: [], markers: [] }
        found.set(key, of)
        of[kind].push({ id, isLatest, size, time: LastModified?.getTime() ?? 0 })
      }
    }
    add('versions', Versions)
    add('markers', DeleteMarkers)
    for (const [key, { versions, markers }] of [...found].sort(([a], [b]) => compareKeys(a, b))) {
      if (current?.key !== key) {
        if (current) yield current
        current = { key, versions: [], markers: [] }
      }
      current.versions.push(...versions)
      current.markers.push(...markers)
    }
    const hasMore = response.IsTruncated && response.NextKeyMarker !== undefined
    next = hasMore
      ? { KeyMarker: read(response.NextKeyMarker), VersionIdMarker: response.NextVersionIdMarker }
      : undefined
  } while (next)
  if (current) yield current
}
