import { once } from 'node:events'
import { fstatSync } from 'node:fs'
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { ObjectNotFound } from '../../../src/errors.ts'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import { listKeys, putBytes, readAll } from '../../support/bodies.ts'
import { makeFolder } from '../../support/stores.ts'

t.test('an object is a plain file under its key', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  await putBytes(store, 'stories/a/1.jpg', 'bytes')
  t.same(await readdir(join(root, 'stories', 'a')), ['.1.jpg.json', '1.jpg'])
  await store.delete(['stories/a/1.jpg'])
  t.same((await readdir(root, { recursive: true })).sort(), ['.tmp', 'stories'], 'its folder goes with it')
})

t.test(
  'a whole object comes with its open file, which closes with its body; a part of it and nothing do not',
  async (t) => {
    const store = await openDiskStore(await makeFolder(t))
    await putBytes(store, 'stories/a/1.jpg', 'bytes')
    await putBytes(store, 'stories/a/2.jpg', '')
    const { body, file } = await store.get('stories/a/1.jpg')
    const descriptor = file?.descriptor ?? -1
    t.equal(fstatSync(descriptor).size, 5)
    body.destroy()
    await once(body, 'close')
    t.throws(() => fstatSync(descriptor), { code: 'EBADF' })
    for (const found of [
      await store.get('stories/a/1.jpg', { range: { start: 1 } }),
      await store.get('stories/a/2.jpg'),
    ]) {
      t.equal(found.file, undefined)
      found.body.destroy()
    }
  },
)

t.test('a file that was copied in by hand is an object without type and metadata', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  await mkdir(join(root, 'stories', 'a'), { recursive: true })
  const path = join(root, 'stories', 'a', '1.jpg')
  await writeFile(path, 'by hand')
  await utimes(path, 1_700_000_000, 1_700_000_000)
  const { body, ...found } = await store.get('stories/a/1.jpg')
  t.equal((await readAll(body)).toString(), 'by hand')
  t.match(found, { size: 7, contentType: undefined, metadata: {}, lastModified: new Date(1_700_000_000_000) })
  t.match(found.etag, /^"[^"]+"$/)
  t.same(await listKeys(store), ['stories/a/1.jpg'])
  await writeFile(path, 'changed')
  t.not((await store.head('stories/a/1.jpg')).etag, found.etag, 'replaced by hand, it has another entity tag')
  await store.delete(['stories/a/1.jpg'])
  t.same(await listKeys(store), [])
})

t.test('objects outlive the store that put them', async (t) => {
  const root = await makeFolder(t)
  const first = await openDiskStore(root)
  await first.put('a/1.jpg', bytes('one'), { contentType: 'image/jpeg', metadata: { width: '1' } })
  const before = await first.head('a/1.jpg')
  await first.close()
  const second = await openDiskStore(root)
  t.same(await second.head('a/1.jpg'), before)
  t.match(before, { contentType: 'image/jpeg', metadata: { width: '1' } })
})

t.test('a start makes missing folders', async (t) => {
  const root = join(await makeFolder(t), 'deep', 'root')
  await openDiskStore(root)
  t.same(await readdir(root), ['.tmp'])
})

t.test('others on the machine see nothing of what is stored', async (t) => {
  const parent = await makeFolder(t)
  const root = join(parent, 'data')
  const store = await openDiskStore(root)
  await putBytes(store, 'stories/a/1.jpg')
  const modes = ['', ...(await readdir(root, { recursive: true }))].map(async (name) => {
    const { mode } = await stat(join(root, name))
    t.equal(mode & 0o007, 0, `${name} has the mode ${(mode & 0o777).toString(8)}`)
  })
  t.equal(modes.length, 6)
  await Promise.all(modes)
})

t.test('a folder is no object', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  await putBytes(store, 'a/b/1')
  await t.rejects(store.get('a/b'), ObjectNotFound)
  await t.rejects(store.head('a'), ObjectNotFound)
  await mkdir(join(root, 'empty'))
  t.same(await listKeys(store), ['a/b/1'])
})

async function* bytes(text: string) {
  yield Buffer.from(text)
}
