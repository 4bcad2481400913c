import { randomBytes } from 'node:crypto'
import type { Layout } from '../store/open-store.ts'
import { IDEMPOTENCY } from './idempotency.ts'
import { STORIES, WRITTEN_BY_US } from './story.ts'
import { VARIANTS } from './variant.ts'

/** The keys of a bucket. A scratch object is named like an idempotency record: a sweep removes one that a crash left once it expires. */
export const LAYOUT: Layout = {
  prefixes: [STORIES, IDEMPOTENCY, VARIANTS],
  scratch: () => ({ key: `${IDEMPOTENCY}${randomBytes(32).toString('hex')}.1`, metadata: WRITTEN_BY_US }),
}
