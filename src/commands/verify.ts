import { isStoryId } from '../stories/key.ts'
import { type VerifyReport, verifyStories } from '../stories/verify.ts'
import { runCommand, UsageError } from './run-command.ts'

/** Between two progress lines, in milliseconds. */
const PROGRESS_MS = 200

await runCommand({
  help: `npm run verify -- [--story ID]

Reads every commit record and every image, compares sizes and SHA-256 digests, and prints each
story that is not as it was uploaded. Changes nothing.

  --story ID  only this story

Exit code: 0; 1 when something is damaged, the store failed, or it was stopped; 2 for arguments or
settings that can't be used.`,
  options: { story: { type: 'string' } },
  async run({ story: id }, store, _config, signal) {
    if (id !== undefined && !isStoryId(id))
      throw new UsageError(`--story has to be the id of a story, a lower-case UUID, not "${id}"`)
    let next = 0
    const clearLine = () => process.stderr.isTTY && process.stderr.write('\r\x1b[K')
    const report = await verifyStories(store, {
      ...(id !== undefined && { id }),
      signal,
      onDamaged(id, problems) {
        clearLine()
        console.log([id, ...problems.map((problem) => `  ${problem}`)].join('\n'))
      },
      onProgress(soFar) {
        if (!process.stderr.isTTY || Date.now() < next) return
        next = Date.now() + PROGRESS_MS
        clearLine()
        process.stderr.write(countsOf(soFar))
      },
    })
    clearLine()
    console.log(countsOf(report))
    return report.damaged === 0
  },
})

function countsOf({ stories, damaged, foreign, unfinished, images, bytes }: VerifyReport): string {
  const others = [
    ...(foreign > 0 ? [`${foreign} foreign stories`] : []),
    ...(unfinished > 0 ? [`${unfinished} ids without a record, under way or for a sweep`] : []),
  ]
  return [`${stories} stories, ${damaged} damaged; read ${images} images, ${bytes} bytes`, ...others].join('; ')
}
