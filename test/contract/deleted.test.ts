import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ObjectNotFound } from '../../src/errors.ts'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import type { DeletedObject, DeletedObjects, ObjectStore } from '../../src/store/object-store.ts'
import { inChunks, listKeys, putBytes, readAll } from '../support/bodies.ts'
import { engines, makeBucket } from '../support/engines.ts'
import { makeFolder, openOnEngine, openOnStandIn, startStandIn } from '../support/stores.ts'

const HOUR = 3_600_000

/** Stores that keep deleted objects. */
const keeping: [string, (t: Test) => Promise<ObjectStore>][] = [
  ['disk', async (t) => openDiskStore(await makeFolder(t), [], HOUR)],
  [
    'S3 stand-in with versioning',
    async (t) => openOnStandIn(t, await startStandIn(t, { dialect: { versioning: 'Enabled' } }), { prefix: 'images/' }),
  ],
  ...engines.map((engine): [string, (t: Test) => Promise<ObjectStore>] => [
    `${engine.name} with versioning`,
    async (t) => openOnEngine(t, engine, (await makeBucket(t, { ...engine, versioning: 'Enabled' })).Bucket, 'images/'),
  ]),
]

const keptBy = ({ deleted }: ObjectStore) => deleted as DeletedObjects

async function deletedIn(store: ObjectStore, prefix = ''): Promise<DeletedObject[]> {
  const found: DeletedObject[] = []
  for await (const page of keptBy(store).list({ prefix })) found.push(...page)
  return found
}

const keysOf = (objects: readonly DeletedObject[]) => objects.map(({ key }) => key)

for (const [name, open] of keeping) {
  t.test(name, async (t) => {
    t.test('a deleted object is in no list and at no key, and comes back as it was', async (t) => {
      const store = await open(t)
      const metadata = { 'written-by': 'a test' }
      await store.put('a/1.jpg', inChunks('the bytes'), { contentType: 'image/jpeg', metadata })
      await putBytes(store, 'a/2.jpg', 'others')
      const before = await store.head('a/1.jpg')
      const began = Date.now()
      t.equal(await store.delete(['a/1.jpg'], 'all'), true, 'it was kept')
      t.same(await listKeys(store), ['a/2.jpg'])
      await t.rejects(store.get('a/1.jpg'), ObjectNotFound)
      const [object, ...others] = await deletedIn(store)
      t.match(object, { key: 'a/1.jpg', size: 9, reusedAt: undefined })
      t.same(others, [])
      t.ok(Math.abs((object?.deletedAt.getTime() ?? 0) - began) < 60_000)
      await keptBy(store).restore([object as DeletedObject])
      const found = await store.get('a/1.jpg')
      t.equal((await readAll(found.body)).toString(), 'the bytes')
      const { size, etag, lastModified, contentType } = before
      t.match(found, { size, etag, lastModified, contentType, metadata })
      t.same(await listKeys(store), ['a/1.jpg', 'a/2.jpg'])
      t.same(await deletedIn(store), [])
      t.equal(await keptBy(store).isKept(), true)
    })

    t.test('deleted objects are listed in order, below a prefix, and only where there is no object now', async (t) => {
      const store = await open(t)
      const keys = ['stories/a/0.2.json', 'stories/a/1.jpg', 'stories/a/10.jpg', 'stories/a/2.jpg', 'stories/b/1.jpg']
      for (const key of [...keys, 'variants/a/1']) await putBytes(store, key)
      await store.delete([...keys].reverse(), 'all')
      await store.delete(['variants/a/1'])
      t.same(keysOf(await deletedIn(store, 'stories/')), keys)
      t.same(keysOf(await deletedIn(store, 'stories/b/')), ['stories/b/1.jpg'])
      t.same(await deletedIn(store, 'stories/c/'), [])
      await putBytes(store, 'stories/b/1.jpg', 'another')
      t.same(keysOf(await deletedIn(store, 'stories/')), keys.slice(0, -1))
    })

    t.test('of several objects of a key the last one is restored, and tells when it was put', async (t) => {
      const store = await open(t)
      for (const text of ['first', 'second']) {
        await putBytes(store, 'a/1.jpg', text)
        // AWS, "ListObjectVersions": versions of the same second have no order of their own here
        await sleep(5)
        await store.delete(['a/1.jpg'], 'all')
        await sleep(5)
      }
      const [object] = await deletedIn(store)
      t.ok(Number(object?.reusedAt) <= Number(object?.deletedAt) || name.includes('stand-in'))
      await keptBy(store).restore([object as DeletedObject])
      t.equal((await readAll((await store.get('a/1.jpg')).body)).toString(), 'second')
    })

    t.test('a restore can be repeated, and an object that is gone for good is fine', async (t) => {
      const store = await open(t)
      for (const key of ['a/1.jpg', 'a/2.jpg']) await putBytes(store, key)
      await store.delete(['a/1.jpg', 'a/2.jpg'], 'all')
      const objects = await deletedIn(store)
      await keptBy(store).restore(objects.slice(0, 1))
      await keptBy(store).restore(objects)
      await keptBy(store).restore(objects)
      t.same(await listKeys(store), ['a/1.jpg', 'a/2.jpg'])
      await store.delete(['a/2.jpg'], 'all')
      const [second] = await deletedIn(store)
      await keptBy(store).purge({ prefix: '' })
      await keptBy(store).restore([second as DeletedObject])
      t.same(await listKeys(store), ['a/1.jpg'])
    })

    t.test('a purge leaves nothing of what is deleted below its prefix, and touches no object', async (t) => {
      const store = await open(t)
      const keys = ['a/1.jpg', 'a/2.jpg', 'b/1.jpg']
      for (const key of keys) await putBytes(store, key)
      await store.delete(['a/1.jpg', 'b/1.jpg'], 'all')
      await keptBy(store).purge({ prefix: 'a/' })
      t.same(keysOf(await deletedIn(store)), ['b/1.jpg'])
      t.same(await listKeys(store), ['a/2.jpg'])
      await putBytes(store, 'b/1.jpg', 'again')
      await keptBy(store).purge({ prefix: '' })
      t.same(await listKeys(store), ['a/2.jpg', 'b/1.jpg'])
      await store.delete(['b/1.jpg'], 'all')
      t.same(keysOf(await deletedIn(store)), ['b/1.jpg'])
    })
  })
}
