import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DeleteFailure, ObjectNotFound, StoreFailure, StoreFull } from '../../../src/errors.ts'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import { inChunks, listKeys, putBytes, readAll } from '../../support/bodies.ts'
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
  t.equal(await store.delete(['file/o']), undefined)
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
  t.equal(await store.delete(['a/1']), undefined)
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

t.test('a sidecar that is not readable is StoreFailure, not an object without a type', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  await putBytes(store, 'a/1')
  await writeFile(join(root, 'a', '.1.json'), '{"contentTy')
  await t.rejects(store.head('a/1'), StoreFailure)
  await t.rejects(store.get('a/1'), StoreFailure)
})

t.test('a store whose root can not be made does not open', async (t) => {
  const parent = await makeFolder(t)
  await writeFile(join(parent, 'file'), '')
  await t.rejects(openDiskStore(join(parent, 'file', 'root')))
  await mkdir(join(parent, 'root'))
  await writeFile(join(parent, 'root', '.tmp'), '')
  await t.rejects(openDiskStore(join(parent, 'root')))
})

/** Why a test that needs a mount can't run here; false when it can. */
function whyNoMount(): string | false {
  return process.platform !== 'linux' || process.getuid?.() !== 0 ? 'mounting needs root on Linux' : false
}

/** A small file system of its own, unmounted with the test. */
async function mountOf(t: Test, options: string): Promise<string> {
  const folder = await makeFolder(t)
  mount(t, ['-t', 'tmpfs', '-o', `size=${options}`, 'tmpfs', folder])
  return folder
}

function mount(t: Test, args: readonly string[]): void {
  execFileSync('mount', [...args])
  t.teardown(() => execFileSync('umount', [args.at(-1) as string]))
}
