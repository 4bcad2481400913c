import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { InvalidKey, ObjectNotFound } from '../../../src/errors.ts'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import { listKeys, listPages, putBytes, readAll } from '../../support/bodies.ts'
import { makeFolder } from '../../support/stores.ts'

const OUTSIDE = [
  '../x',
  '..',
  'a/../../x',
  'a/..',
  '/etc/passwd',
  '/',
  '',
  'a//b',
  'a/',
  '.',
  './a',
  '.hidden',
  'a/.hidden',
  '.tmp/x',
  'a\0b',
  'a\\..\\b',
  `${'x'.repeat(250)}`,
  `a/${'é'.repeat(125)}`,
]

t.test('no key leads out of the root, to a hidden file or to a name that is too long', async (t) => {
  const parent = await makeFolder(t)
  const store = await openDiskStore(join(parent, 'root'))
  await writeFile(join(parent, 'x'), 'not ours')
  for (const key of OUTSIDE) {
    const shown = JSON.stringify(key.slice(0, 20))
    await t.rejects(putBytes(store, key), InvalidKey, `put ${shown}`)
    await t.rejects(store.get(key), InvalidKey, `get ${shown}`)
    await t.rejects(store.head(key), InvalidKey, `head ${shown}`)
    await t.rejects(store.delete(['fine', key]), InvalidKey, `delete ${shown}`)
  }
  t.same(await readdir(parent), ['root', 'x'])
  t.same(await readdir(join(parent, 'root')), ['.tmp'])
  t.equal(await readFile(join(parent, 'x'), 'utf8'), 'not ours')
})

t.test('no list leaves the root or shows what is hidden', async (t) => {
  const parent = await makeFolder(t)
  const root = join(parent, 'root')
  const store = await openDiskStore(root)
  await putBytes(store, 'a/1')
  await writeFile(join(parent, 'x'), 'not ours')
  await writeFile(join(root, '.tmp', 'running'), 'half an object')
  await mkdir(join(root, 'a', '.folder'))
  await writeFile(join(root, 'a', '.folder', 'x'), 'x')
  for (const prefix of [
    '../',
    '../x',
    '..',
    'a/../',
    'a/../../',
    '/',
    `${parent}/`,
    './',
    '.tmp/',
    'a/.folder/',
    'a//',
  ]) {
    t.same(await listPages(store, { prefix }), [], prefix)
  }
  t.same(await listKeys(store), ['a/1'])
})

t.test('the longest names that a key may have work', async (t) => {
  const store = await openDiskStore(await makeFolder(t))
  const key = `${'é'.repeat(124)}x/${'y'.repeat(249)}`
  await putBytes(store, key, 'long')
  t.equal((await readAll((await store.get(key)).body)).toString(), 'long')
  t.same(await listKeys(store), [key])
  await store.delete([key])
  t.same(await listKeys(store), [])
})

t.test('a key longer than any path is just not there', async (t) => {
  const store = await openDiskStore(await makeFolder(t))
  const key = `${`${'x'.repeat(200)}/`.repeat(30)}end`
  await t.rejects(store.get(key), ObjectNotFound)
  await t.rejects(store.head(key), ObjectNotFound)
  await t.resolves(store.delete([key]))
})

t.test('a symbolic link is not listed, and one to a file is not followed', async (t) => {
  const parent = await makeFolder(t)
  const store = await openDiskStore(join(parent, 'root'))
  await putBytes(store, 'a/1')
  await writeFile(join(parent, 'secret'), 'secret')
  await mkdir(join(parent, 'secrets'))
  await writeFile(join(parent, 'secrets', '1'), 'secret')
  await symlink(join(parent, 'secret'), join(parent, 'root', 'a', 'link'))
  await symlink(join(parent, 'secrets'), join(parent, 'root', 'folder'))
  t.same(await listKeys(store), ['a/1'])
  await t.rejects(store.get('a/link'), ObjectNotFound)
  await t.rejects(store.head('a/link'), ObjectNotFound)
  await store.delete(['a/link'])
  t.equal(await readFile(join(parent, 'secret'), 'utf8'), 'secret', 'a delete removes the link alone')
})
