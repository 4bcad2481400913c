import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import { listKeys } from '../../support/bodies.ts'
import { makeFolder } from '../../support/stores.ts'

t.test('a folder with more names than are held at a time is listed whole and in order', async (t) => {
  // In memory, where there is such a folder: making the files is what takes the time
  const root = await makeFolder(t, existsSync('/dev/shm') ? '/dev/shm' : undefined)
  const store = await openDiskStore(root)
  await mkdir(join(root, 'many'))
  // Of different lengths, so that their order is not the order in which they are made
  const keys = Array.from({ length: 100_500 }, (_, i) => `many/${(i * 7919) % 100_501}`)
  for (const key of keys) closeSync(openSync(join(root, key), 'w'))
  mkdirSync(join(root, 'many', 'folder'))
  keys.push('many/folder/1')
  closeSync(openSync(join(root, 'many/folder/1'), 'w'))
  keys.sort()
  const found = await listKeys(store)
  t.equal(found.length, keys.length)
  t.ok(
    found.every((key, index) => key === keys[index]),
    'as the sorted array',
  )
  const after = keys[90_000] as string
  t.same((await listKeys(store, { prefix: 'many/', after })).length, keys.length - 90_001)
  t.same(await listKeys(store, { before: keys[3] as string }), keys.slice(0, 3))
})
