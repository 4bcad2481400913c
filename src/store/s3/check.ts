import { randomUUID } from 'node:crypto'
import { buffer, text } from 'node:stream/consumers'
import { GetBucketLifecycleConfigurationCommand, GetBucketVersioningCommand } from '@aws-sdk/client-s3'
import { ObjectExists, ServiceError } from '../../errors.ts'
import { compareKeys, ifThere, type ListedObject, type ObjectStore, type PutOptions } from '../object-store.ts'
import type { S3Bucket, S3Settings, StoreLimit } from './bucket.ts'
import { type DeleteKeys, openDelete } from './delete.ts'
import { openLists } from './list.ts'
import { openBucket } from './open-bucket.ts'
import { putObject } from './put.ts'
import { statusOf } from './store-error.ts'

/**
 * The result of one check:
 *
 * - `ok`: the bucket does it
 * - `limited`: it does not, and the server works without it, as `advice` says
 * - `failed`: it does not, and the server needs it
 * - `unknown`: the store does not tell, or not with these credentials
 */
export type CheckResult = 'ok' | 'limited' | 'failed' | 'unknown'

export interface CheckedPoint {
  readonly name: string
  readonly result: CheckResult
  /** What was seen, without a full stop. */
  readonly found: string
  readonly advice?: string
}

type Outcome = Omit<CheckedPoint, 'name'>

/** Puts of one new object that run at the same time. */
const PUTS_AT_ONCE = 12

/** A little more than one part of a multipart upload, in bytes. */
const LARGE_BYTES = 5 * 1024 * 1024 + 1000

/** How far the clock of the store may be off, in milliseconds (docs/guarantees.md). */
const CLOCK_MS = 150_000

/** Keys in the order of their UTF-8 bytes. The first ones differ where a prefix ends, and the last two have another order in UTF-16. */
const KEYS = ['a-b', 'a/1', 'a/2', 'a0', 'b/1', 'c d+e/1', '\uff5e', '\u{1f600}']

/**
 * Tries everything that the server needs of a bucket, one point after another. Writes about 10 MB below one prefix, and deletes it at the
 * end. Servers may run meanwhile.
 *
 * @param prefix where the credentials may list, put and delete, and where objects disturb no reader; ends with "/"
 * @param signal ends it before the next point: the iteration rejects with its reason
 */
export async function* checkBucket(
  settings: S3Settings,
  prefix: string,
  signal: AbortSignal,
): AsyncGenerator<CheckedPoint> {
  const limits = new Set<StoreLimit>()
  const bucket = await openBucket({ ...settings, onLimit: (limit) => limits.add(limit) })
  const remove = openDelete(bucket)
  const { list } = openLists(bucket, 1, async () => true)
  const own = `${prefix}-check-${randomUUID()}/`
  try {
    const reach = await tried(async () => {
      await bucket.calls.list({ prefix, keys: 1 })
      return { result: 'ok', found: 'the bucket can be listed' }
    })
    yield { name: 'list', ...reach }
    if (reach.result !== 'ok') return
    for (const [name, check] of Object.entries(CHECKS)) {
      signal.throwIfAborted()
      yield {
        name,
        ...(await tried(() => check({ bucket, prefix: `${own}${name.replaceAll(' ', '-')}/`, remove, list, limits }))),
      }
    }
  } finally {
    await keysOf(list, own)
      .then(remove)
      .catch(() => {})
    await bucket.close()
  }
}

interface Trial {
  readonly bucket: S3Bucket
  /** Of the keys that this check writes. */
  readonly prefix: string
  readonly remove: DeleteKeys
  readonly list: ObjectStore['list']
  readonly limits: ReadonlySet<StoreLimit>
}

const CHECKS: Readonly<Record<string, (trial: Trial) => Promise<Outcome>>> = {
  'put, read, delete': async ({ bucket, prefix, remove, list }) => {
    const key = `${prefix}1.jpg`
    for (let round = 1; round <= 5; round++) {
      const text = `round ${round}`
      await put(bucket, key, text, { metadata: { 'written-by': text } })
      const { metadata, contentType } = await bucket.calls.head(key)
      if (metadata['written-by'] !== text) return failed('metadata is not returned as it was put')
      if (contentType !== 'text/plain') return failed('the content type is not returned as it was put')
      if ((await read(bucket, key)) !== text) return failed('a read after a write returned an older object')
      if (!(await keysOf(list, prefix)).includes(key)) return failed('a list after a write does not have the object')
      await remove([key])
      if (await ifThere(bucket.calls.head(key))) return failed('a read after a deletion found the object')
      if ((await keysOf(list, prefix)).length > 0) return failed('a list after a deletion has the object')
    }
    return { result: 'ok', found: 'each read and list saw the write before it' }
  },

  clock: async ({ bucket, prefix }) => {
    const before = Date.now()
    await put(bucket, `${prefix}1`, 'x')
    const { lastModified } = await bucket.calls.head(`${prefix}1`)
    // A second, since HTTP dates have no fraction
    const off = Math.max(before - 1000 - lastModified.getTime(), lastModified.getTime() - Date.now(), 0)
    const found = `${Math.round(off / 1000)} seconds from the clock of this machine`
    if (off <= CLOCK_MS) return { result: 'ok', found }
    return { ...failed(found), advice: 'Set both clocks by NTP: sweeps tell by them what is old' }
  },

  'order of lists': async ({ bucket, prefix, list }) => {
    for (const name of [...KEYS].reverse()) await put(bucket, prefix + name, 'x')
    const keys = await keysOf(list, prefix)
    const expected = KEYS.map((name) => prefix + name)
    if (keys.join('\n') !== [...keys].sort(compareKeys).join('\n'))
      return failed('keys are not in the order of their UTF-8 bytes')
    if (keys.join('\n') !== expected.join('\n')) return failed('keys are missing, or not as they were put')
    for (const [index, after] of expected.entries()) {
      const page = await bucket.calls.list({ prefix, after, keys: 2 })
      const next = page.objects.map(({ key }) => key)
      if (next.join('\n') !== expected.slice(index + 1, index + 3).join('\n'))
        return failed('start-after and max-keys are not followed')
    }
    const paged: string[] = []
    for (let token: string | undefined, more = true; more; ) {
      const page = await bucket.calls.list({ prefix, token, keys: 3 })
      paged.push(...page.objects.map(({ key }) => key))
      more = page.truncated && page.token !== undefined && paged.length < 2 * KEYS.length
      token = page.token
    }
    if (paged.join('\n') !== expected.join('\n')) return failed('pages do not follow one another')
    const { prefixes } = await bucket.calls.list({ prefix, delimiter: '/' })
    if (prefixes.join('\n') !== ['a/', 'b/', 'c d+e/'].map((name) => prefix + name).join('\n'))
      return failed('common prefixes are wrong')
    return { result: 'ok', found: 'by UTF-8 bytes, page after page and from any key on' }
  },

  'conditional put': async ({ bucket, prefix }) => {
    const results = [await putNew(bucket, `${prefix}1`, 'first'), await putNew(bucket, `${prefix}1`, 'second')]
    const kept = (await ifThere(bucket.calls.head(`${prefix}1`))) ? await read(bucket, `${prefix}1`) : undefined
    if (results.join() === 'stored,exists' && kept === 'first')
      return { result: 'ok', found: 'If-None-Match: * is honoured' }
    const found = results[0] === 'stored' ? 'If-None-Match: * is ignored' : `If-None-Match: * is refused: ${results[0]}`
    return { result: 'limited', found, advice: WITHOUT_CONDITIONS }
  },

  'conditional puts at once': async ({ bucket, prefix }) => {
    const texts = Array.from({ length: PUTS_AT_ONCE }, (_, index) => String(index))
    const results = await Promise.all(texts.map((text) => putNew(bucket, `${prefix}1`, text)))
    const stored = results.filter((result) => result === 'stored').length
    const found = `of ${PUTS_AT_ONCE} puts ${stored} succeeded`
    if (stored === 1 && results.every((result) => result === 'stored' || result === 'exists'))
      return { result: 'ok', found }
    return { result: 'limited', found, advice: WITHOUT_CONDITIONS }
  },

  'delete many': async ({ bucket, prefix, remove, list, limits }) => {
    const keys = Array.from({ length: 20 }, (_, index) => `${prefix}${index}`)
    for (const key of keys) await put(bucket, key, 'x')
    await remove([...keys, `${prefix}never-there`])
    if ((await keysOf(list, prefix)).length > 0) return failed('what was deleted is still listed')
    if (!limits.has('delete_many')) return { result: 'ok', found: 'DeleteObjects, with Content-MD5' }
    return {
      result: 'limited',
      found: 'DeleteObjects is not implemented',
      advice: 'Objects are deleted one by one, 16 at once',
    }
  },

  multipart: async ({ bucket, prefix }) => {
    const bytes = Buffer.alloc(LARGE_BYTES, 'multipart')
    const { size } = await putObject(bucket, `${prefix}1`, inChunks(bytes), OPTIONS)
    const stored = await readBytes(bucket, `${prefix}1`)
    if (size !== LARGE_BYTES || !stored.equals(bytes)) return failed('the bytes are not those that were put')
    return { result: 'ok', found: `${LARGE_BYTES} bytes in two parts` }
  },

  range: async ({ bucket, prefix }) => {
    const key = `${prefix}1`
    await put(bucket, key, '0123456789')
    for (const [range, expected] of [
      [{ start: 2, end: 4 }, '234'],
      [{ start: 8 }, '89'],
      [{ suffix: 3 }, '789'],
    ] as const) {
      const { body, range: part } = await bucket.calls.get(key, { range })
      if ((await text(body)) !== expected || part === undefined)
        return failed('a range of bytes is not what was asked for')
    }
    return { result: 'ok', found: 'from a byte on, between two, and the last ones' }
  },

  versioning: async ({ bucket, prefix, remove }) => {
    const key = `${prefix}gone/1`
    await put(bucket, key, 'x')
    await remove([key])
    const { prefixes } = await bucket.calls.list({ prefix, delimiter: '/' })
    const seen = prefixes.length > 0 ? ', and prefixes of deleted objects are listed' : ''
    try {
      const command = new GetBucketVersioningCommand({ Bucket: bucket.settings.bucket })
      const { Status } = await bucket.client.send(command, bucket.bounded())
      if (Status === undefined && seen === '') return { result: 'ok', found: 'none' }
      const advice =
        'What is deleted stays as a version until a lifecycle rule expires noncurrent versions; story ids are listed from keys, except on AWS'
      return { result: 'limited', found: `${Status ?? 'none'}${seen}`, advice }
    } catch (error) {
      if (statusOf(error) === 501) return { result: 'ok', found: 'the store has none' }
      const advice = 'Allow s3:GetBucketVersioning, so that story ids can be listed from prefixes, in fewer calls'
      return { result: 'unknown', found: reasonOf(error) + seen, advice }
    }
  },

  lifecycle: async ({ bucket }) => {
    const advice =
      'Parts of interrupted uploads stay for ever unless the store removes them by itself, or a rule AbortIncompleteMultipartUpload does'
    try {
      const command = new GetBucketLifecycleConfigurationCommand({ Bucket: bucket.settings.bucket })
      const { Rules = [] } = await bucket.client.send(command, bucket.bounded())
      const on = Rules.filter(({ Status }) => Status === 'Enabled')
      const found = `enabled rules: ${on.length}`
      // Images may be removed by nothing but a deletion
      if (on.some(({ Expiration }) => Expiration?.Days !== undefined || Expiration?.Date !== undefined))
        return {
          result: 'limited',
          found: `${found}, one of which expires objects`,
          advice: 'Make sure that it spares stories/',
        }
      if (on.some((rule) => rule.AbortIncompleteMultipartUpload)) return { result: 'ok', found }
      return { result: 'limited', found: `${found}, none of which removes parts of interrupted uploads`, advice }
    } catch (error) {
      if (error instanceof Error && error.name === 'NoSuchLifecycleConfiguration')
        return { result: 'limited', found: 'no rules', advice }
      return { result: 'unknown', found: reasonOf(error), advice }
    }
  },
}

const WITHOUT_CONDITIONS =
  'Of uploads with one Idempotency-Key that reach several servers at the same moment more than one may make a story; retries one after another, and uploads to one server, make one'

const OPTIONS: PutOptions = { contentType: 'text/plain', metadata: {} }

const failed = (found: string): Outcome => ({ result: 'failed', found })

async function tried(check: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await check()
  } catch (error) {
    return failed(reasonOf(error))
  }
}

/** Says what the store or the network has said. */
function reasonOf(error: unknown): string {
  const cause = error instanceof ServiceError && error.cause instanceof Error ? error.cause : error
  if (!(cause instanceof Error)) return String(cause)
  const status = statusOf(cause)
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.name
  return status === 0 ? `${code}: ${cause.message}` : `${code}, status ${status}`
}

async function* inChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 64 * 1024) yield Buffer.from(bytes.subarray(at, at + 64 * 1024))
}

async function put(bucket: S3Bucket, key: string, text: string, options: Partial<PutOptions> = {}): Promise<void> {
  await putObject(bucket, key, inChunks(Buffer.from(text)), { ...OPTIONS, ...options })
}

/** Returns "stored", "exists", or why the store has refused it. */
async function putNew(bucket: S3Bucket, key: string, text: string): Promise<string> {
  try {
    await put(bucket, key, text, { ifNoneMatch: '*' })
    return 'stored'
  } catch (error) {
    return error instanceof ObjectExists ? 'exists' : reasonOf(error)
  }
}

const readBytes = async ({ calls }: S3Bucket, key: string) => buffer((await calls.get(key)).body)

const read = async (bucket: S3Bucket, key: string) => (await readBytes(bucket, key)).toString()

async function keysOf(list: ObjectStore['list'], prefix: string): Promise<string[]> {
  const found: ListedObject[] = []
  for await (const page of list({ prefix })) found.push(...page)
  return found.map(({ key }) => key)
}
