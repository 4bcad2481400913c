import { createHash } from 'node:crypto'
import { KeyInUse } from '../../src/errors.ts'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import { FolderInUse, lockFolder } from '../../src/store/disk/lock.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { uploadStory } from '../../src/stories/upload.ts'
import { inChunks } from './bodies.ts'
import { makeImage } from './images.ts'

/* What test/store/disk/lock.long.test.ts lets several processes do at once on one folder. Arguments: the folder. */

export type Order = { readonly do: 'lock' } | { readonly do: 'upload'; readonly key: string }

const [, , root = ''] = process.argv
const store = await openDiskStore(root)
const image = await makeImage({ type: 'png', width: 8, height: 8 })

async function follow(order: Order): Promise<string | undefined> {
  if (order.do === 'lock') {
    try {
      const { problem } = await lockFolder(root)
      return problem === undefined ? 'locked' : String(problem)
    } catch (error) {
      if (error instanceof FolderInUse) return error.message
      throw error
    }
  }
  async function* images() {
    yield inChunks(image)
  }
  try {
    const { id } = await uploadStory(storyStore(store, 3_600_000), images(), {
      maxPixels: 1000,
      readAhead: true,
      signal: new AbortController().signal,
      idempotencyName: createHash('sha256').update(order.key).digest('hex'),
      onDebris: () => {},
    })
    return id
  } catch (error) {
    if (error instanceof KeyInUse) return undefined
    throw error
  }
}

process.on('message', async (order: Order) => process.send?.({ result: await follow(order) }))
process.once('disconnect', () => process.exit())
process.send?.({ result: 'ready' })
