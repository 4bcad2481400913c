import { type Config, listConcurrencyOf, mostDownloads } from '../src/config.ts'

/**
 * Computes how much memory a process and its workers can take, from the settings. Tests compare the table of docs/memory.md, the chart
 * and the template with it. The tests named *memory.long.test.ts measure that the parts hold.
 */

const KIB = 1024
const MIB = 1024 * KIB

/** What each part takes, in bytes. */
const NODE = 200 * MIB
const DOWNLOAD = 384 * KIB
const LISTS = 64
const LIST = 2 * MIB
const LISTING_CALL = 4 * MIB
const CONNECTIONS = 10_000
const CONNECTION = 30 * KIB
const WORKER = 768 * MIB
const ORDINARY_WORKER = 256 * MIB

export type MemorySettings = Pick<
  Config,
  'UPLOAD_MEMORY' | 'LIST_CONCURRENCY' | 'VARIANT_CONCURRENCY' | 'S3_BUCKET' | 'S3_ENDPOINT'
>

export type MemoryPart = 'Node.js and the SDK' | 'uploads' | 'images' | 'lists' | 'connections' | 'variants'

export interface Memory {
  /** Most bytes of each part. */
  readonly parts: Readonly<Record<MemoryPart, number>>
  /** MiB that a container may take: every part at its most, rounded up. */
  readonly limitMib: number
  /** MiB to reserve for a container: Node.js, uploads, and variants of ordinary photos, rounded up. */
  readonly requestMib: number
}

/** Returns what a process with these settings takes. `readConfig` makes them of an environment. */
export function memoryOf(settings: MemorySettings): Memory {
  const parts = {
    'Node.js and the SDK': NODE,
    uploads: settings.UPLOAD_MEMORY,
    images: mostDownloads(settings) * DOWNLOAD,
    lists: LISTS * LIST + listConcurrencyOf(settings) * LISTING_CALL,
    connections: CONNECTIONS * CONNECTION,
    variants: settings.VARIANT_CONCURRENCY * WORKER,
  }
  const request = NODE + settings.UPLOAD_MEMORY + settings.VARIANT_CONCURRENCY * ORDINARY_WORKER
  const limit = Object.values(parts).reduce((sum, part) => sum + part, 0)
  return { parts, limitMib: Math.ceil(limit / MIB), requestMib: Math.ceil(request / MIB) }
}
