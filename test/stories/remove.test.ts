import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { v7 } from 'uuid'
import { DeleteFailure, StoreUnavailable, StoryNotFound } from '../../src/errors.ts'
import { TOMBSTONES } from '../../src/layout/tombstone.ts'
import type { ListOptions, ObjectStore } from '../../src/store/object-store.ts'
import { removeAllStories, removeStory } from '../../src/stories/remove.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { putTombstone, readTombstones } from '../../src/stories/tombstone.ts'
import { listKeys, putBytes } from '../support/bodies.ts'
import { ALL } from '../support/extent.ts'
import { closedGate } from '../support/gate.ts'
import { putOurs, putStory, recordCalls } from '../support/recording-store.ts'
import { storesUnderTest } from '../support/stores.ts'

const { open, inspect } = storesUnderTest[0] as (typeof storesUnderTest)[number]
/** Where many objects are made quickly. */
const inMemory = storesUnderTest[1] as (typeof storesUnderTest)[number]
const HOUR = 3_600_000

t.test('a story goes record first, then its images, and nothing else goes', async (t) => {
  const store = recordCalls(await open(t))
  const [id, other] = [v7(), v7()]
  await putStory(store, id, ['1.jpg', '2.png'])
  await putStory(store, other, ['1.jpg'])
  await putBytes(store, `stories/${id}/notes.txt`)
  store.calls.length = 0
  await removeStory(storyStore(store, HOUR), id)
  const record = `delete stories/${id}/0.2.json`
  const images = `delete stories/${id}/1.jpg stories/${id}/2.png`
  t.same(store.calls, [record, `${record} done`, images, `${images} done`])
  t.same(
    await listKeys(store),
    [`stories/${id}/notes.txt`, `stories/${other}/0.1.json`, `stories/${other}/1.jpg`].sort(),
  )
})

t.test('what is not there is StoryNotFound', async (t) => {
  const store = await open(t)
  const junk = randomUUID()
  await putBytes(store, `stories/${junk}/notes.txt`)
  for (const id of [v7(), randomUUID(), junk, 'x', '', '..', `${junk}/notes.txt`]) {
    await t.rejects(removeStory(storyStore(store, HOUR), id), StoryNotFound, id)
  }
  t.same(await listKeys(store), [`stories/${junk}/notes.txt`])
})

t.test(
  'a removal that failed keeps the images while the record is there, and its repetition finishes it',
  async (t) => {
    const disk = await open(t)
    const id = v7()
    await putStory(disk, id, ['1.jpg', '2.jpg'])
    const failing = (part: string) =>
      recordCalls(disk, {
        delete: async (keys) => {
          if (keys.some((key) => key.includes(part))) throw new DeleteFailure(keys)
          return disk.delete(keys)
        },
      })
    t.match(await removeStory(storyStore(failing('.json'), HOUR), id).catch((error) => error), {
      keys: [`stories/${id}/0.2.json`],
    })
    t.equal((await listKeys(disk)).length, 3, 'the story is whole')
    t.match(await removeStory(storyStore(failing('.jpg'), HOUR), id).catch((error) => error), {
      keys: [`stories/${id}/1.jpg`, `stories/${id}/2.jpg`],
    })
    t.same(await listKeys(disk), [`stories/${id}/1.jpg`, `stories/${id}/2.jpg`], 'the record is gone')
    await removeStory(storyStore(disk, HOUR), id)
    t.same(await listKeys(disk), [])
    await t.rejects(removeStory(storyStore(disk, HOUR), id), StoryNotFound)
  },
)

t.test('a story of more images than a page of the store goes whole', async (t) => {
  const { store, fill } = await inspect(t)
  const id = v7()
  const count = ALL ? 2300 : 1100
  await fill([
    `stories/${id}/0.${count}.json`,
    ...Array.from({ length: count }, (_, i) => `stories/${id}/${i + 1}.jpg`),
  ])
  await removeStory(storyStore(store, HOUR), id)
  t.same(await listKeys(store), [])
})

t.test('a removal of all takes stories and old debris; running uploads and files of others stay', async (t) => {
  const store = await open(t)
  const now = Date.now()
  const young = v7({ msecs: now - HOUR / 2 })
  const margin = v7({ msecs: now - HOUR - 60_000 })
  const old = v7({ msecs: now - HOUR - 6 * 60_000 })
  const half = v7({ msecs: now - 2 * HOUR })
  await putStory(store, v7({ msecs: now }), ['1.jpg', '2.jpg'])
  await putStory(store, v7({ msecs: now - 10 * HOUR }), ['1.jpg'])
  await putBytes(store, `stories/${randomUUID()}/3.png`)
  for (const id of [young, margin, old]) await putOurs(store, `stories/${id}/1.jpg`)
  // Copied in by hand, by somebody whose ids are UUIDv7 too
  const copied = v7({ msecs: now - 5 * HOUR })
  await putBytes(store, `stories/${copied}/1.jpg`)
  await putStory(store, half, ['1.jpg'], 2)
  const imported = [
    `stories/${randomUUID()}/notes.txt`,
    `stories/${old}/notes.txt`,
    `stories/${copied}/1.jpg`,
    'stories/readme.txt',
    'other/1.jpg',
    `stories/${randomUUID()}/0.1.json`,
  ]
  for (const key of imported) await putBytes(store, key)
  await removeAllStories(storyStore(store, HOUR))
  t.same((await listKeys(store)).sort(), [...imported, `stories/${young}/1.jpg`, `stories/${margin}/1.jpg`].sort())
  await t.resolves(removeAllStories(storyStore(store, HOUR)), 'nothing to do is fine')
})

t.test('a removal of all takes the record of every story before its images, batches side by side', async (t) => {
  const { store: disk, fill } = await inMemory.inspect(t)
  const ids = timeOrdered(2000)
  await fill(ids.flatMap((id) => [`stories/${id}/0.2.json`, `stories/${id}/1.jpg`, `stories/${id}/2.jpg`]))
  let running = 0
  let most = 0
  const store = recordCalls(disk, {
    delete: async (keys) => {
      most = Math.max(most, ++running)
      await sleep(20)
      const isKept = await disk.delete(keys)
      running--
      return isKept
    },
  })
  await removeAllStories(storyStore(store, HOUR))
  t.equal(running, 0)
  t.ok(most > 1 && most <= 16, `${most} calls side by side`)
  t.same(await listKeys(store), [])
  const gone = new Set<string>()
  const sizes: number[] = []
  for (const call of store.calls) {
    const keys = call.split(' ').filter((word) => word.startsWith('stories/'))
    if (call.endsWith(' done')) {
      for (const key of keys) gone.add(key)
      continue
    }
    sizes.push(keys.length)
    const images = keys.filter((key) => key.endsWith('.jpg'))
    t.ok(images.length === 0 || images.length === keys.length, 'records and images are not mixed')
    t.ok(
      images.every((key) => gone.has(`${key.slice(0, key.lastIndexOf('/'))}/0.2.json`)),
      'every record had gone when the call began',
    )
  }
  t.ok(Math.max(...sizes) <= 1000 && sizes.length >= 12, `calls of ${sizes} keys`)
})

t.test('debris is looked at side by side, and the stories beside them go', async (t) => {
  const disk = await open(t)
  const ids = timeOrdered(40)
  const [imported] = ids as [string]
  for (const id of ids) await putOurs(disk, `stories/${id}/1.jpg`)
  await putBytes(disk, `stories/${imported}/2.jpg`)
  await putStory(disk, v7(), ['1.jpg'])
  let running = 0
  let most = 0
  const gate = closedGate()
  const store = recordCalls(disk, {
    head: async (key) => {
      most = Math.max(most, ++running)
      if (running === 8) gate.open()
      await gate.opened
      await sleep(5)
      running--
      return disk.head(key)
    },
  })
  await removeAllStories(storyStore(store, HOUR))
  t.equal(most, 8)
  t.same(await listKeys(store), [`stories/${imported}/1.jpg`, `stories/${imported}/2.jpg`])
})

t.test('a removal of all names every key that the store did not delete, and deletes all the others', async (t) => {
  const { store: disk, fill } = await inMemory.inspect(t)
  const ids = timeOrdered(1200)
  await fill(ids.flatMap((id) => [`stories/${id}/0.2.json`, `stories/${id}/1.jpg`, `stories/${id}/2.jpg`]))
  const [early, middle, late] = [ids[3], ids[600], ids[1190]]
  const stuck = new Set([`stories/${early}/2.jpg`, `stories/${middle}/0.2.json`, `stories/${late}/1.jpg`])
  const cause = new Error('locked')
  const store = recordCalls(disk, {
    delete: async (keys) => {
      const isKept = await disk.delete(keys.filter((key) => !stuck.has(key)))
      const left = keys.filter((key) => stuck.has(key))
      if (left.length > 0) throw new DeleteFailure(left, { cause })
      return isKept
    },
  })
  const error = await removeAllStories(storyStore(store, HOUR)).catch((error) => error)
  t.type(error, DeleteFailure)
  t.same([...error.keys].sort(), [...stuck].sort())
  t.equal(error.cause, cause)
  const whole = [`stories/${middle}/0.2.json`, `stories/${middle}/1.jpg`, `stories/${middle}/2.jpg`]
  t.same(
    await keysOfStories(disk),
    [`stories/${early}/2.jpg`, ...whole, `stories/${late}/1.jpg`],
    'one story stays whole',
  )
  for (const id of [early, middle, late]) await removeStory(storyStore(disk, HOUR), id as string)
  t.same(await keysOfStories(disk), [], 'repetitions finish it')
  t.equal((await readTombstones(disk, 'all')).length, 1, 'the tombstone of all is for a removal of all')
  await removeAllStories(storyStore(disk, HOUR))
  t.same(await listKeys(disk), [])
})

t.test('a list that fails on its way ends a removal of all, when what was begun is done', async (t) => {
  const { store: disk, fill } = await inMemory.inspect(t)
  const ids = timeOrdered(1500)
  await fill(ids.flatMap((id) => [`stories/${id}/0.1.json`, `stories/${id}/1.jpg`]))
  let running = 0
  const store = {
    ...disk,
    async *list(options: ListOptions) {
      let pages = 0
      for await (const page of disk.list(options)) {
        if (++pages === 3) throw new StoreUnavailable()
        yield page
      }
    },
    async delete(keys: readonly string[]) {
      running++
      await sleep(50)
      const isKept = await disk.delete(keys)
      running--
      return isKept
    },
  }
  await t.rejects(removeAllStories(storyStore(store, HOUR)), StoreUnavailable)
  t.equal(running, 0, 'nothing runs any more')
  const left = await keysOfStories(disk)
  t.ok(left.length >= 1000 && left.length < 3000, `what was listed is gone, ${left.length} keys are left`)
  t.equal(left.filter((key) => key.endsWith('.json')).length, left.length / 2, 'stories are whole or gone')
})

t.test('a removal of all that fails says so', async (t) => {
  const disk = await open(t)
  await putStory(disk, v7(), ['1.jpg'])
  const store = recordCalls(disk, { delete: (keys) => Promise.reject(new DeleteFailure(keys)) })
  t.match(await removeAllStories(storyStore(store, HOUR)).catch((error) => error), { keys: [/0\.1\.json$/] })
})

t.test('the deletion of an old story has a tombstone from before its first step until nothing is left', async (t) => {
  const store = recordCalls(await open(t))
  const [id] = timeOrdered(1) as [string]
  await putStory(store, id, ['1.jpg'])
  store.calls.length = 0
  await removeStory(storyStore(store, HOUR), id)
  const [tombstone] = /stories\/-deleting\/\S+/.exec(store.calls[0] ?? '') ?? []
  t.ok(tombstone?.startsWith(`stories/-deleting/${id}.`))
  t.same(
    store.calls.filter((call) => !call.endsWith(' done')),
    [`put ${tombstone}`, `delete stories/${id}/0.1.json`, `delete stories/${id}/1.jpg`, `delete ${tombstone}`],
  )
  t.same(await listKeys(store), [])
})

t.test('the deletion of a young story, or of an imported one, needs no tombstone', async (t) => {
  const store = recordCalls(await open(t))
  const [young, imported] = [v7({ msecs: Date.now() - HOUR / 2 }), randomUUID()]
  await putStory(store, young, ['1.jpg'])
  await putBytes(store, `stories/${imported}/1.jpg`)
  store.calls.length = 0
  for (const id of [young, imported]) await removeStory(storyStore(store, HOUR), id)
  t.notMatch(store.calls, [/-deleting/])
  t.same(await listKeys(store), [])
})

t.test('without a tombstone nothing is deleted', async (t) => {
  const disk = await open(t)
  const [id] = timeOrdered(1) as [string]
  await putStory(disk, id, ['1.jpg'])
  const before = await listKeys(disk)
  const store = recordCalls(disk, { put: () => Promise.reject(new StoreUnavailable()) })
  await t.rejects(removeStory(storyStore(store, HOUR), id), StoreUnavailable)
  await t.rejects(removeAllStories(storyStore(store, HOUR)), StoreUnavailable)
  t.same(await listKeys(disk), before)
})

t.test('a deletion that was interrupted leaves its tombstone, and a repetition removes it', async (t) => {
  const disk = await open(t)
  const [id, other] = timeOrdered(2) as [string, string]
  await putStory(disk, id, ['1.jpg'])
  await putTombstone(disk, other)
  for (const part of ['.json', '1.jpg', '-deleting']) {
    const failing = recordCalls(disk, {
      delete: async (keys) => {
        if (keys.some((key) => key.includes(part))) throw new StoreUnavailable()
        return disk.delete(keys)
      },
    })
    await t.rejects(removeStory(storyStore(failing, HOUR), id), StoreUnavailable)
    t.ok((await readTombstones(disk, id)).length > 0, `at ${part}`)
  }
  await t.rejects(removeStory(storyStore(disk, HOUR), id), StoryNotFound, 'only tombstones were left')
  t.match(await listKeys(disk), [new RegExp(other)], 'those of another story stay')
})

t.test('what keeps an id in the bucket keeps the tombstone of its deletion', async (t) => {
  for (const isAll of [false, true]) {
    const store = await open(t)
    const [id] = timeOrdered(1) as [string]
    await putStory(store, id, ['1.jpg'])
    await putBytes(store, `stories/${id}/notes.txt`)
    await (isAll ? removeAllStories(storyStore(store, HOUR)) : removeStory(storyStore(store, HOUR), id))
    t.equal((await readTombstones(store, id)).length, 1)
    await t.rejects(removeStory(storyStore(store, HOUR), id), StoryNotFound)
    await removeAllStories(storyStore(store, HOUR))
    t.equal((await readTombstones(store, id)).length, 1)
    await store.delete([`stories/${id}/notes.txt`])
    await removeAllStories(storyStore(store, HOUR))
    t.same(await listKeys(store), [])
  }
})

t.test(
  'a removal of all has a tombstone from before its first deletion, again and again, until it has worked',
  async (t) => {
    const disk = await open(t)
    await putStory(disk, v7(), ['1.jpg'])
    const failing = recordCalls(disk, { delete: (keys) => Promise.reject(new DeleteFailure(keys)) })
    await t.rejects(removeAllStories(storyStore(failing, HOUR)), DeleteFailure)
    const tombstones = await readTombstones(disk)
    t.match(tombstones, [{ id: 'all' }])
    t.ok(
      failing.calls.indexOf(`put ${tombstones[0]?.key} done`) < failing.calls.findIndex((call) => /^delete/.test(call)),
    )
    await removeAllStories(storyStore(disk, HOUR))
    t.same(await listKeys(disk), [], 'the one that has worked removes the tombstones of those that have not')

    const { store: memory, fill } = await inMemory.inspect(t)
    await fill(timeOrdered(1200).flatMap((id) => [`stories/${id}/0.1.json`, `stories/${id}/1.jpg`]))
    const slow = recordCalls(memory, { delete: (keys) => sleep(20).then(() => memory.delete(keys)) })
    // As a removal that takes longer than an upload may
    await removeAllStories(storyStore(slow, -1))
    const puts = slow.calls.filter((call) => /^put .* done$/.test(call)).length
    t.ok(puts > 1, `${puts} tombstones`)
    t.same(await listKeys(memory), [])
  },
)

async function keysOfStories(store: ObjectStore): Promise<string[]> {
  return (await listKeys(store)).filter((key) => !key.startsWith(TOMBSTONES))
}

/** Ids of uploads long ago, in their order. */
function timeOrdered(count: number): string[] {
  return Array.from({ length: count }, (_, n) => v7({ msecs: 1_700_000_000_000 + n }))
}
