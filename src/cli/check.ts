import { IDEMPOTENCY } from '../layout/idempotency.ts'
import { LAYOUT } from '../layout/layout.ts'
import { bucketSettings } from '../store/open-store.ts'
import type { CheckedPoint } from '../store/s3/check.ts'
import { readSettings } from './on-store.ts'
import { UsageError } from './stopped.ts'

/**
 * Tries each feature that the server needs of its bucket, and prints what was found.
 *
 * @returns whether the server can use the bucket
 * @throws {UsageError} if there is no bucket
 */
export async function check({ json = false }: { json?: boolean }, signal: AbortSignal): Promise<boolean> {
  const config = readSettings()
  if (config.S3_BUCKET === undefined) throw new UsageError('There is no bucket to check: S3_BUCKET is not set')
  console.error(`Checking the bucket ${config.S3_BUCKET}`)
  const { checkBucket } = await import('../store/s3/check.ts')
  const points: CheckedPoint[] = []
  for await (const point of checkBucket(bucketSettings(config, config.S3_BUCKET, LAYOUT), IDEMPOTENCY, signal)) {
    points.push(point)
    console.log(json ? JSON.stringify(point) : rowOf(point))
  }
  const failed = points.filter(({ result }) => result === 'failed').length
  const limited = points.filter(({ result }) => result === 'limited').length
  const unknown = points.filter(({ result }) => result === 'unknown').length
  const advice = new Set(points.map(({ advice }) => advice).filter((text) => text !== undefined))
  if (json) console.log(JSON.stringify({ usable: failed === 0, failed, limited, unknown }))
  else {
    for (const text of advice) console.log(`\n${text}.`)
    console.log(
      failed === 0 ? `\nThe server can use this bucket.` : `\nThe server can not use this bucket: ${failed} failed.`,
    )
  }
  return failed === 0
}

function rowOf({ name, result, found }: CheckedPoint): string {
  return `${name.padEnd(26)}${result.padEnd(9)}${found}`
}
