import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { v7 } from 'uuid'
import { DeleteFailure, StoreFull } from '../../../src/errors.ts'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import { Trash } from '../../../src/store/disk/trash.ts'
import type { DeletedObject, ObjectStore } from '../../../src/store/object-store.ts'
import { listStories } from '../../../src/stories/list.ts'
import { removeAllStories, removeStory } from '../../../src/stories/remove.ts'
import { deletedStories, restoreStory } from '../../../src/stories/restore.ts'
import { storyStore } from '../../../src/stories/story-store.ts'
import { listKeys, putBytes } from '../../support/bodies.ts'
import { putStory } from '../../support/recording-store.ts'
import { fillDisk, mount, mountOf, whyNoMount } from '../../support/small-disk.ts'
import { makeFolder } from '../../support/stores.ts'

const HOUR = 3_600_000
const skip = whyNoMount()

async function deletedIn(store: ObjectStore): Promise<DeletedObject[]> {
  const found: DeletedObject[] = []
  for await (const page of store.deleted?.list({ prefix: '' }) ?? []) found.push(...page)
  return found
}

async function idsOf(list: AsyncIterable<{ id: string } | { id: string }[]>): Promise<string[]> {
  const ids: string[] = []
  for await (const found of list) ids.push(...[found].flat().map(({ id }) => id))
  return ids
}

async function smallDisk(t: Test) {
  const disk = await mountOf(t, '3m')
  return { disk, store: await openDiskStore(join(disk, 'data'), [], HOUR) }
}

const size = 512 * 1024

t.test('an upload on a full disk takes the place of what was deleted, the oldest first', { skip }, async (t) => {
  const { disk, store } = await smallDisk(t)
  const { now } = Date
  for (const [name, hours] of [
    ['old', 3],
    ['new', 1],
  ] as const) {
    await putBytes(store, `${name}/1.jpg`, Buffer.alloc(size, name))
    Date.now = () => now() - hours * HOUR
    await store.delete([`${name}/1.jpg`], 'all')
    Date.now = now
  }
  await fillDisk(disk)
  await putBytes(store, 'third/1.jpg', Buffer.alloc(size, 'x'))
  t.same(
    (await deletedIn(store)).map(({ key }) => key),
    ['new/1.jpg'],
  )
  await putBytes(store, 'fourth/1.jpg', Buffer.alloc(size, 'y'))
  t.same(await deletedIn(store), [])
  await t.rejects(putBytes(store, 'fifth/1.jpg', Buffer.alloc(size, 'z')), StoreFull, 'until there is nothing left')
  t.same(await listKeys(store), ['fourth/1.jpg', 'third/1.jpg'])
  t.same(await readdir(join(disk, 'data', '.tmp')), [])
  const bytes = await readFile(join(disk, 'data/fourth/1.jpg'))
  t.ok(bytes.equals(Buffer.alloc(size, 'y')))
})

t.test(
  'stories are deleted on a full disk, one and all, and can be restored while there is room',
  { skip },
  async (t) => {
    for (const isAll of [false, true]) {
      const { disk, store } = await smallDisk(t)
      const stories = storyStore(store, HOUR)
      const ids = [1, 2].map((n) => v7({ msecs: Date.UTC(2024, 0, n) }))
      for (const id of ids) await putStory(store, id, ['1.jpg', '2.jpg'])
      await fillDisk(disk)
      if (isAll) t.equal(await removeAllStories(stories), (await idsOf(deletedStories(store))).length === ids.length)
      else {
        for (const id of ids) {
          const isKept = await removeStory(stories, id)
          t.equal((await idsOf(deletedStories(store))).includes(id), isKept, 'it says whether it was kept')
        }
      }
      t.same(await idsOf(listStories(store)), [])
      for (const id of await idsOf(deletedStories(store))) await restoreStory(stories, id).catch(() => {})
      for (const id of await idsOf(listStories(store))) t.ok(ids.includes(id), 'whole')
    }
  },
)

t.test('what is put into the trash does not take the place of its own story', { skip }, async (t) => {
  // A link is an inode on tmpfs (Linux, shmem_link): there is room for some of those of the second story, or for the first one
  for (let inodes = 20; inodes < 36; inodes++) {
    const disk = await mountOf(t, `3m,nr_inodes=${inodes}`)
    const store = await openDiskStore(join(disk, 'data'), [], HOUR)
    const stories = storyStore(store, HOUR)
    const ids = [1, 2].map((n) => v7({ msecs: Date.UTC(2024, 0, n) }))
    const isThere = await Promise.all(ids.map((id) => putStory(store, id, ['1.jpg', '2.jpg']))).then(
      () => true,
      () => false,
    )
    if (!isThere) continue
    for (const id of ids) {
      const isKept = await removeStory(stories, id)
      t.equal((await idsOf(deletedStories(store))).includes(id), isKept, `with ${inodes} inodes`)
    }
    t.same(await listKeys(store, { prefix: 'stories/' }), [])
  }
})

t.test('of an imported story that does not fit into the trash nothing is kept', { skip }, async (t) => {
  for (let inodes = 14; inodes < 30; inodes++) {
    const disk = await mountOf(t, `3m,nr_inodes=${inodes}`)
    const store = await openDiskStore(join(disk, 'data'), [], HOUR)
    const stories = storyStore(store, HOUR)
    const id = 'c0ffee00-0000-4000-8000-000000000001'
    const names = [1, 2, 3, 4].map((n) => `stories/${id}/${n}.jpg`)
    await mkdir(join(disk, 'data/stories', id), { recursive: true })
    await Promise.all(names.map((name) => writeFile(join(disk, 'data', name), 'bytes')))
    const isKept = await removeStory(stories, id)
    const found: number[] = []
    for await (const { images } of deletedStories(store)) found.push(images)
    t.same(found, isKept ? [4] : [], `with ${inodes} inodes`)
  }
})

t.test('an object that can not be kept is deleted all the same', { skip }, async (t) => {
  const root = await makeFolder(t)
  await mkdir(join(root, 'elsewhere'))
  const store = await openDiskStore(root, [], HOUR)
  // Another file system
  mount(t, ['-t', 'tmpfs', 'tmpfs', join(root, 'elsewhere')])
  await mkdir(join(root, 'elsewhere/a'))
  await writeFile(join(root, 'elsewhere/a/1.jpg'), 'bytes')
  t.equal(await store.delete(['elsewhere/a/1.jpg'], 'all'), false, 'and the store says so')
  t.same(await listKeys(store), [])
})

t.test('a deletion repeated after a crash keeps one object, and a restored one has a new change time', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root, [], HOUR)
  await putBytes(store, 'a/1.jpg', 'bytes')
  const before = await stat(join(root, 'a/1.jpg'))
  // As if the process had died before it removed the file
  await new Trash(root, HOUR).take('a/', ['a/1.jpg'], 'all')
  t.same(await deletedIn(store), [], 'it is not deleted yet')
  await new Promise((resolve) => setTimeout(resolve, 20))
  await store.delete(['a/1.jpg'], 'all')
  const found = await deletedIn(store)
  t.match(found, [{ key: 'a/1.jpg', reusedAt: undefined }])
  await store.deleted?.restore(found)
  const after = await stat(join(root, 'a/1.jpg'))
  t.equal(after.mtimeMs, before.mtimeMs)
  t.ok(after.ctimeMs > before.ctimeMs, 'sweeps take it for young')
  t.equal(after.nlink, 1, 'nothing of it is left in the trash')
  t.same(await readdir(join(root, 'a')), ['.1.jpg.json', '1.jpg'])
})

t.test('the rest of what is in the trash is kept, and anything else is not', async (t) => {
  const store = await openDiskStore(await makeFolder(t), [], HOUR)
  for (const key of ['a/1.jpg', 'a/2.jpg', 'b/1.jpg']) await putBytes(store, key)
  await store.delete(['a/1.jpg'], 'all')
  t.equal(await store.delete(['a/2.jpg', 'b/1.jpg'], 'rest'), false, 'not all of them')
  t.same(
    (await deletedIn(store)).map(({ key }) => key),
    ['a/1.jpg', 'a/2.jpg'],
  )
})

t.test('a deletion says that it failed, and not that it succeeded, where there can be no trash', async (t) => {
  const hour = new Date().toISOString().slice(0, 13)
  const spoilers: Readonly<Record<string, (root: string) => Promise<unknown>>> = {
    'a file in the place of the trash': (root) => writeFile(join(root, '.trash'), ''),
    'a link to a folder that is gone': (root) => symlink(join(root, 'gone'), join(root, '.trash')),
    'a file in the place of the folder': async (root) => {
      // The hour may end meanwhile
      for (const name of [hour, new Date(Date.now() + HOUR).toISOString().slice(0, 13)]) {
        await mkdir(join(root, '.trash', name), { recursive: true })
        await writeFile(join(root, '.trash', name, 'a'), '')
      }
    },
  }
  for (const [what, spoil] of Object.entries(spoilers)) {
    const root = await makeFolder(t)
    const store = await openDiskStore(root, [], HOUR)
    await putBytes(store, 'a/1.jpg')
    await spoil(root)
    await t.rejects(store.delete(['a/1.jpg'], 'all'), DeleteFailure, what)
    t.same(await listKeys(store), ['a/1.jpg'])
    await store.delete(['a/1.jpg'], 'none')
    t.same(await listKeys(store), [], 'for good it works')
  }
})

t.test('while the trash is emptied, deletions succeed, and the objects are gone', async (t) => {
  const store = await openDiskStore(await makeFolder(t), [], HOUR)
  let isDone = false
  const emptying = (async () => {
    for (; !isDone; await new Promise((resolve) => setTimeout(resolve, 2))) await store.deleted?.purge({ prefix: '' })
  })()
  for (let n = 0; n < 100; n++) {
    const keys = [`a/${n}.jpg`, `a/${n}.png`]
    for (const key of keys) await putBytes(store, key)
    await store.delete(keys, 'all')
    const left = await listKeys(store)
    if (left.length > 0) t.same(left, [], `of deletion ${n}`)
  }
  isDone = true
  await emptying
  t.same(await listKeys(store), [])
})

t.test('an object whose name has no room for a time is deleted all the same', async (t) => {
  const store = await openDiskStore(await makeFolder(t), [], HOUR)
  await putBytes(store, `a/${'x'.repeat(249)}`)
  t.equal(await store.delete([`a/${'x'.repeat(249)}`], 'all'), false)
  t.same(await listKeys(store), [])
})

t.test('names in the trash that are not ours, and symbolic links, are passed over', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root, [], HOUR)
  await putBytes(store, 'a/1.jpg')
  await store.delete(['a/1.jpg'], 'all')
  const [hour = ''] = await readdir(join(root, '.trash'))
  for (const folder of ['a', 'b/.AppleDouble']) {
    await mkdir(join(root, '.trash', hour, folder), { recursive: true })
    for (const name of ['1..hidden', '1.a\\b', 'notes.txt'])
      await writeFile(join(root, '.trash', hour, folder, name), '')
  }
  const elsewhere = await makeFolder(t)
  await writeFile(join(elsewhere, '1.mine'), '')
  await symlink(elsewhere, join(root, '.trash', '2020-01-01T00'))
  await symlink(elsewhere, join(root, '.trash', hour, 'linked'))
  t.same(
    (await deletedIn(store)).map(({ key }) => key),
    ['a/1.jpg'],
  )
  const options = { now: Date.now() + 3 * HOUR, dryRun: false, onUnreadable: (folder: string) => void t.fail(folder) }
  for await (const name of store.deleted?.expire?.(options) ?? []) t.match(name, `.trash/${hour}/`)
  t.same(await deletedIn(store), [])
  for (const prefix of ['linked/', '']) await store.deleted?.purge({ prefix })
  t.same(await readdir(elsewhere), ['1.mine'])
})
