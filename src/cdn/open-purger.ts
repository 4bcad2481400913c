import type { Config } from '../config.ts'
import { cloudfront } from './cloudfront.ts'
import { type PurgeEvents, Purger } from './purger.ts'
import { webhook } from './webhook.ts'

/** Opens the purger that the configuration names, or returns undefined if it names none. */
export function openPurger(
  { PURGE_URL, PURGE_HEADER, PUBLIC_IMAGE_URL }: Config,
  events: PurgeEvents,
): Purger | undefined {
  if (PURGE_URL === undefined) return undefined
  const [, by, distribution = ''] = /^cloudfront-(tags|paths):(.+)$/.exec(PURGE_URL) ?? []
  if (by === 'tags' || by === 'paths') {
    const root = PUBLIC_IMAGE_URL === undefined ? '' : new URL(PUBLIC_IMAGE_URL).pathname.replace(/\/$/, '')
    return new Purger(cloudfront(distribution, by, root), events)
  }
  return new Purger(webhook(PURGE_URL, PURGE_HEADER), events)
}
