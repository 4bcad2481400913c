import { MARKS } from '../stories/deletion-mark.ts'
import { Sweeper } from '../stories/sweep.ts'
import { runCommand } from './run-command.ts'

await runCommand({
  help: `npm run sweep -- [--dry-run] [--all]

Removes what interrupted uploads and deletions have left, as the server does by itself, and
prints each story id and below it each key. Any number of servers and sweeps may run meanwhile.

  --dry-run  removes nothing, and prints what would be removed
  --all      reads everything. Without it, for a job that runs every hour: what became old enough
             since the last hour, and a part of the rest, so that a day covers it

Exit code: 0; 1 when the store kept a key, or failed, or the sweep was stopped; 2 for arguments or
settings that can't be used.`,
  options: { 'dry-run': { type: 'boolean' }, all: { type: 'boolean' } },
  async run({ 'dry-run': dryRun = false, all = false }, store, config, signal) {
    let marks = 0
    let files = 0
    const { stories, keys, claims, kept } = await new Sweeper(store, config.UPLOAD_TIMEOUT).sweep({
      signal,
      dryRun,
      byHour: !all,
      onRemoved(what, keys) {
        marks += keys.filter((key) => key.startsWith(MARKS)).length
        console.log([what, ...keys.map((key) => `  ${key}`)].join('\n'))
      },
      onTidied(name) {
        files += 1
        console.log(`Beside objects: ${name}`)
      },
      onKept: (keys) => console.error(keys.map((key) => `The store kept ${key}`).join('\n')),
    })
    const summary = `${dryRun ? 'Would remove' : 'Removed'} ${keys} keys of ${stories} stories`
    const more = [
      ...(marks > 0 ? [`, ${marks} marks of deletions`] : []),
      ...(claims > 0 ? [`, ${claims} expired Idempotency-Keys`] : []),
      ...(files > 0 ? [`, ${files} files and folders beside objects`] : []),
    ]
    console.log(`${summary}${more.join('')}${kept > 0 ? `; the store kept ${kept} keys` : ''}`)
    return kept === 0
  },
})
