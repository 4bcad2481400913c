import t from 'tap'
import { v7 } from 'uuid'
import { StoreUnavailable } from '../../src/errors.ts'
import { removeAllStories } from '../../src/stories/remove.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { recordCalls } from '../support/recording-store.ts'
import { storesUnderTest } from '../support/stores.ts'

const HOUR = 3_600_000

t.test('a store that goes away ends a removal of all', async (t) => {
  const { store: disk, fill } = await (storesUnderTest[1] as (typeof storesUnderTest)[number]).inspect(t)
  const ids = Array.from({ length: 20_000 }, (_, n) => v7({ msecs: 1_700_000_000_000 + n }))
  await fill(ids.map((id) => `stories/${id}/0.1.json`).concat(ids.map((id) => `stories/${id}/1.jpg`)))
  let calls = 0
  const store = recordCalls(disk, {
    delete: async () => {
      calls++
      throw new StoreUnavailable()
    },
  })
  await t.rejects(removeAllStories(storyStore(store, HOUR)), StoreUnavailable)
  t.ok(calls <= 32, `${calls} calls, not one for each of 40 batches`)
})
