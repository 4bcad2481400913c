import { TOMBSTONES } from '../layout/tombstone.ts'
import { Sweeper } from '../stories/sweep.ts'
import { storiesOnStore } from './on-store.ts'

/**
 * Removes what interrupted uploads and deletions have left, and prints each story id and below it each key.
 *
 * @returns whether everything could be read and removed
 */
export function sweep(
  { dryRun = false, all = false, json = false }: { dryRun?: boolean; all?: boolean; json?: boolean },
  signal: AbortSignal,
): Promise<boolean> {
  return storiesOnStore(async (store) => {
    let tombstones = 0
    let files = 0
    let unreadable = 0
    const report = await new Sweeper(store).sweep({
      signal,
      dryRun,
      byHour: !all,
      onRemoved(what, keys) {
        tombstones += keys.filter((key) => key.startsWith(TOMBSTONES)).length
        console.log(
          json ? JSON.stringify({ removed: what, keys }) : [what, ...keys.map((key) => `  ${key}`)].join('\n'),
        )
      },
      onDebris(name) {
        files += 1
        console.log(json ? JSON.stringify({ debris: name }) : `Beside objects: ${name}`)
      },
      onUnreadable(folder) {
        unreadable += 1
        console.error(`${folder} can't be read, and is left alone`)
      },
      onLeft: (keys) => console.error(keys.map((key) => `The store did not delete ${key}`).join('\n')),
    })
    const { stories, keys, idempotencyKeys, variants, left } = report
    const summary = `${dryRun ? 'Would remove' : 'Removed'} ${keys} keys of ${stories} stories`
    const more = [
      ...(tombstones > 0 ? [`, ${tombstones} tombstones`] : []),
      ...(idempotencyKeys > 0 ? [`, ${idempotencyKeys} expired Idempotency-Keys`] : []),
      ...(variants > 0 ? [`, ${variants} variants of deleted stories`] : []),
      ...(files > 0 ? [`, ${files} files and folders beside objects`] : []),
    ]
    console.log(
      json
        ? JSON.stringify({
            dry_run: dryRun,
            stories,
            keys,
            tombstones,
            idempotency_keys: idempotencyKeys,
            variants,
            files,
            left,
          })
        : `${summary}${more.join('')}${left > 0 ? `; keys that the store did not delete: ${left}` : ''}`,
    )
    return left + unreadable === 0
  })
}
