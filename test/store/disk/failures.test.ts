import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import fs, { appendFile, mkdir, readdir, rm, statfs, unlink, writeFile } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { DeleteFailure, ObjectNotFound, StoreFailure, StoreFull, StoryNotFound } from '../../../src/errors.ts'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import type { ObjectStore } from '../../../src/store/object-store.ts'
import { findStory, listStories } from '../../../src/stories/list.ts'
import { removeStory } from '../../../src/stories/remove.ts'
import { storyStore } from '../../../src/stories/story-store.ts'
import { type UploadedStory, uploadStory } from '../../../src/stories/upload.ts'
import { inChunks, listKeys, putBytes, readAll } from '../../support/bodies.ts'
import { bigImage } from '../../support/images.ts'
import { mount, mountOf, whyNoMount } from '../../support/small-disk.ts'
import { makeFolder } from '../../support/stores.ts'

t.test('a full disk is StoreFull and leaves nothing behind', { skip: whyNoMount() }, async (t) => {
  const root = await mountOf(t, '1m')
  const store = await openDiskStore(root)
  await putBytes(store, 'a/kept', randomBytes(300_000))
  const put = store.put('a/large', inChunks(randomBytes(1_500_000)), { contentType: 'image/png', metadata: {} })
  const error = await put.catch((error) => error)
  t.type(error, StoreFull)
  t.equal(error.cause.code, 'ENOSPC')
  t.same(await listKeys(store), ['a/kept'])
  t.same(await readdir(join(root, '.tmp')), [])
  await putBytes(store, 'a/small', 'there is room again')
  t.same(await listKeys(store), ['a/kept', 'a/small'])
})

t.test('a disk that can take no further file is StoreFull', { skip: whyNoMount() }, async (t) => {
  const root = await mountOf(t, '1m,nr_inodes=6')
  const store = await openDiskStore(root)
  await t.rejects(
    (async () => {
      for (let i = 0; i < 10; i++) await putBytes(store, `${i}/o`)
    })(),
    StoreFull,
  )
  t.same(await readdir(join(root, '.tmp')), [])
  for (const key of await listKeys(store)) t.equal((await readAll((await store.get(key)).body)).toString(), key)
})

t.test('a file where a folder has to be is StoreFailure and leaves nothing behind', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  await writeFile(join(root, 'file'), 'a file')
  await t.rejects(putBytes(store, 'file/o'), StoreFailure)
  await t.rejects(store.get('file/o'), ObjectNotFound)
  await t.rejects(store.head('file/o'), ObjectNotFound)
  await t.resolves(store.delete(['file/o']))
  t.same(await listKeys(store), ['file'])
  t.same(await readdir(join(root, '.tmp')), [])
})

t.test('a folder where a file has to be is StoreFailure and leaves nothing behind', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  await putBytes(store, 'folder/o')
  await t.rejects(putBytes(store, 'folder'), StoreFailure)
  t.same(await listKeys(store), ['folder/o'])
  t.same((await readdir(root)).sort(), ['.tmp', 'folder'])
  t.same(await readdir(join(root, '.tmp')), [])
})

t.test('a root that went away fails every call, and does not look empty', async (t) => {
  const root = join(await makeFolder(t), 'root')
  const store = await openDiskStore(root)
  await putBytes(store, 'a/1')
  await rm(root, { recursive: true })
  await t.rejects(putBytes(store, 'a/2'), StoreFailure)
  await t.rejects(store.ready(), StoreFailure)
  await t.rejects(store.get('a/1'), ObjectNotFound)
  await t.resolves(store.delete(['a/1']))
  await t.rejects(listKeys(store), StoreFailure)
})

t.test('what can not be deleted is named, and the rest is deleted', { skip: whyNoMount() }, async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  for (const key of ['a/1', 'b/1', 'b/2', 'c/1']) await putBytes(store, key)
  mount(t, ['--bind', join(root, 'b'), join(root, 'b')])
  execFileSync('mount', ['-o', 'remount,ro,bind', join(root, 'b')])
  const error = await store.delete(['a/1', 'b/1', 'b/2', 'c/1']).catch((error) => error)
  t.type(error, DeleteFailure)
  t.same(error.keys, ['b/1', 'b/2'])
  t.equal(error.cause.code, 'EROFS')
  t.same(await listKeys(store), ['b/1', 'b/2'])
  await t.rejects(putBytes(store, 'b/3'), StoreFailure)
  t.same(await readdir(join(root, '.tmp')), [])
})

t.test('an object whose sidecar is damaged is one without a type and metadata', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  await putBytes(store, 'a/1')
  await writeFile(join(root, 'a', '.1.json'), '{"contentTy')
  t.match(await store.head('a/1'), { size: 3, contentType: undefined, metadata: {} })
  const { body, ...found } = await store.get('a/1')
  t.match(found, { size: 3, contentType: undefined, metadata: {} })
  t.equal(String(await body.toArray()), 'a/1')
})

t.test(
  'a story that the disk has no room for is StoreFull, and nothing of it stays',
  { skip: whyNoMount() },
  async (t) => {
    const root = await mountOf(t, '2m')
    const store = await openDiskStore(root)
    const image = await bigImage(400_000)
    const first = await upload(store, [image, image])
    const free = await freeBytes(root)
    const error = await upload(store, [image, image, image, image, image]).catch((error) => error)
    t.type(error, StoreFull)
    t.equal(error.status, 507)
    t.same(await storyIds(store), [first.id])
    t.same(await listKeys(store, { prefix: 'stories/' }), [`stories/${first.id}/0.2.json`, ...first.keys])
    t.same(await readdir(join(root, '.tmp')), [])
    t.equal(await freeBytes(root), free, 'its room is free again')
    await removeStory(storyStore(store, 3_600_000), first.id)
    t.ok(await upload(store, [image, image, image]), 'a deletion makes room, also on a full disk')
  },
)

t.test(
  'a disk that gets full at any write of an upload leaves a whole story or none',
  { skip: whyNoMount() },
  async (t) => {
    const memory = await mountOf(t, '300k')
    const image = await bigImage(60_000)
    const outcomes = { stored: 0, full: 0 }
    for (let ballast = 0; ballast <= 300_000; ballast += 4096) {
      const root = await makeFolder(t, memory)
      await writeFile(join(memory, 'ballast'), Buffer.alloc(ballast))
      const store = await openDiskStore(root)
      const before = await freeBytes(memory)
      const result = await upload(store, [image, image]).catch((error) => error)
      if (result instanceof Error) {
        outcomes.full++
        if (!(result instanceof StoreFull)) t.fail(String(result))
        t.same(await storyIds(store), [])
        t.same(await readdir(join(root, '.tmp')), [])
        t.same(await listKeys(store), [])
        const lost = before - (await freeBytes(memory))
        // The folder of the stories
        t.ok(lost <= 4096, `${lost} bytes stay`)
      } else {
        outcomes.stored++
        t.same(await storyIds(store), [result.id])
      }
      await rm(root, { recursive: true })
    }
    t.ok(outcomes.stored > 10 && outcomes.full > 10, JSON.stringify(outcomes))
  },
)

t.test('a store that can only be read serves, and refuses everything else', { skip: whyNoMount() }, async (t) => {
  const root = await mountOf(t, '2m')
  const store = await openDiskStore(root)
  const image = await bigImage(20_000)
  const { id, keys } = await upload(store, [image])
  execFileSync('mount', ['-o', 'remount,ro', root])
  const error = await upload(store, [image]).catch((error) => error)
  t.type(error, StoreFailure)
  t.equal(error.cause.code, 'EROFS')
  await t.rejects(removeStory(storyStore(store, 3_600_000), id), DeleteFailure)
  await t.rejects(store.ready(), StoreFailure, 'it is not ready')
  t.same(await storyIds(store), [id])
  t.same(await readAll((await store.get(keys[0] ?? '')).body), image)
  await t.resolves(openDiskStore(root), 'it can be opened')
  execFileSync('mount', ['-o', 'remount,rw', root])
  t.ok(await upload(store, [image]))
  await removeStory(storyStore(store, 3_600_000), id)
})

t.test('an image that was removed behind the back of the store takes its story out of the lists', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  const image = await bigImage(3_000_000)
  const [first, second] = [await upload(store, [image, image]), await upload(store, [image])]
  const { body } = await store.get(first.keys[1] ?? '')
  await unlink(join(root, first.keys[1] ?? ''))
  t.ok((await readAll(body)).equals(image), 'who was reading it reads on')
  await t.rejects(store.get(first.keys[1] ?? ''), ObjectNotFound)
  await t.rejects(store.head(first.keys[1] ?? ''), ObjectNotFound)
  t.same(await storyIds(store), [second.id])
  await t.rejects(findStory(store, first.id), StoryNotFound)
  await removeStory(storyStore(store, 3_600_000), first.id)
  t.same(await listKeys(store), [`stories/${second.id}/0.1.json`, ...second.keys], 'and the rest can be deleted')
})

t.test('files and folders that go away while they are listed are left out', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  for (let n = 0; n < 1200; n++) await mkdir(join(root, 'a', String(n)), { recursive: true })
  await Promise.all(Array.from({ length: 1200 }, (_, n) => writeFile(join(root, 'a', String(n), '1'), '')))
  const pages = store.list({ prefix: 'a/' })[Symbol.asyncIterator]()
  t.equal((await pages.next()).value?.length, 1000)
  await rm(join(root, 'a'), { recursive: true })
  t.same(await pages.next(), { done: true, value: undefined })
})

t.test('a file that grows while it is read has no more bytes than was said', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  const bytes = randomBytes(200_000)
  await putBytes(store, 'a/1', bytes)
  const { body } = await store.get('a/1')
  await appendFile(join(root, 'a', '1'), 'more')
  t.ok((await readAll(body)).equals(bytes))
})

t.test('an error of the disk is StoreFailure, and leaves nothing of a story', async (t) => {
  const image = await bigImage(20_000)
  for (const failing of ['writev', 'datasync', 'sync', 'rename'] as const) {
    for (let nth = 1; nth <= 3; nth++) {
      const root = await makeFolder(t)
      const store = await openDiskStore(root)
      // Its folder is there, whose own syncs are none of the upload's
      await putBytes(store, 'stories/b')
      const stop = failOnce(failing, nth)
      const error = await upload(store, [image, image]).catch((error) => error)
      stop()
      const what = `${failing} number ${nth}`
      t.type(error, StoreFailure, what)
      t.equal(error.cause.code, 'EIO', what)
      t.same(await storyIds(store), [], what)
      t.same(await listKeys(store), ['stories/b'], what)
      t.same(await readdir(join(root, '.tmp')), [], what)
      t.same((await readdir(join(root, 'stories'))).sort(), ['.b.json', 'b'], what)
    }
  }
})

t.test('a store whose root can not be made does not open', async (t) => {
  const parent = await makeFolder(t)
  await writeFile(join(parent, 'file'), '')
  await t.rejects(openDiskStore(join(parent, 'file', 'root')))
  await mkdir(join(parent, 'root'))
  await writeFile(join(parent, 'root', '.tmp'), '')
  await t.rejects(openDiskStore(join(parent, 'root')))
})

function upload(store: ObjectStore, images: readonly Buffer[]): Promise<UploadedStory> {
  async function* bodies() {
    for (const image of images) yield inChunks(image)
  }
  return uploadStory(storyStore(store, 3_600_000), bodies(), {
    maxPixels: 268_000_000,
    readAhead: true,
    signal: new AbortController().signal,
    onDebris: (error) => {
      throw error
    },
  })
}

async function storyIds(store: ObjectStore): Promise<string[]> {
  const ids: string[] = []
  for await (const page of listStories(store)) ids.push(...page.map(({ id }) => id))
  return ids
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

/** Lets the nth call of a function of the file system fail with EIO, until it is told to stop. */
function failOnce(name: 'writev' | 'datasync' | 'sync' | 'rename', nth: number): () => void {
  const { open, rename } = fs
  let count = 0
  const orFail = async <T>(of: string, call: () => Promise<T>): Promise<T> => {
    if (of === name && ++count === nth) throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })
    return call()
  }
  Object.assign(fs, {
    rename: (from: string, to: string) => orFail('rename', () => rename(from, to)),
    open: async (...args: Parameters<typeof open>) => {
      const file = await open(...args)
      const { writev, datasync, sync } = file
      return Object.assign(file, {
        writev: (chunks: Uint8Array[]) => orFail('writev', () => writev.call(file, chunks)),
        datasync: () => orFail('datasync', () => datasync.call(file)),
        sync: () => orFail('sync', () => sync.call(file)),
      })
    },
  })
  syncBuiltinESMExports()
  return () => {
    Object.assign(fs, { open, rename })
    syncBuiltinESMExports()
  }
}
