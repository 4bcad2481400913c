import { randomBytes } from 'node:crypto'
import type { Layout } from '../store/open-store.ts'
import { IDEMPOTENCY } from './idempotency.ts'
import { STORIES, WRITTEN_BY_US } from './story.ts'
import { VARIANTS } from './variant.ts'

/** The keys of a bucket. A sweep takes a scratch object that a crash leaves for an expired idempotency record, and removes it. */
export const LAYOUT: Layout = {
  prefixes: [STORIES, IDEMPOTENCY, VARIANTS],
  scratch: () => ({ key: `${IDEMPOTENCY}${randomBytes(32).toString('hex')}.1`, metadata: WRITTEN_BY_US }),
}
