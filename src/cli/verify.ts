import { type VerifyReport, verifyStories } from '../stories/verify.ts'
import { onStore } from './on-store.ts'
import { StatusLine } from './status-line.ts'

/**
 * Compares every image with the commit record, and prints each story that is not as it was uploaded.
 *
 * @returns whether no story is damaged
 */
export function verify(
  { story, json = false }: { story?: string; json?: boolean },
  signal: AbortSignal,
): Promise<boolean> {
  return onStore(async (store) => {
    const line = new StatusLine()
    try {
      const report = await verifyStories(store, {
        ...(story !== undefined && { id: story }),
        signal,
        onDamaged(id, problems) {
          line.clear()
          console.log(
            json
              ? JSON.stringify({ story_id: id, problems })
              : [id, ...problems.map((problem) => `  ${problem}`)].join('\n'),
          )
        },
        onProgress: (soFar) => line.show(() => countsOf(soFar)),
      })
      line.end()
      console.log(json ? JSON.stringify(report) : countsOf(report))
      return report.damaged === 0
    } finally {
      line.end()
    }
  })
}

function countsOf({ stories, damaged, imported, unfinished, images, bytes }: VerifyReport): string {
  const others = [
    ...(imported > 0 ? [`${imported} imported stories`] : []),
    ...(unfinished > 0 ? [`${unfinished} ids without a record, under way or for a sweep`] : []),
  ]
  return [`${stories} stories, ${damaged} damaged; read ${images} images, ${bytes} bytes`, ...others].join('; ')
}
