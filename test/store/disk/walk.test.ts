import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { mkdir, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import type { ListedObject } from '../../../src/store/object-store.ts'
import { listKeys, putBytes } from '../../support/bodies.ts'
import { ALL } from '../../support/extent.ts'
import { makeFolder } from '../../support/stores.ts'

if (ALL)
  t.test(
    'a folder with more names than are held at a time is listed whole and in order',
    { timeout: 120_000 },
    async (t) => {
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
    },
  )

t.test('a file with a time that is no date does not keep the others from being listed', async (t) => {
  // A file system that takes any time
  const root = await makeFolder(t, existsSync('/dev/shm') ? '/dev/shm' : undefined)
  const store = await openDiskStore(root)
  for (const [key, seconds] of [
    ['a/1', 9_999_999_999_999],
    ['a/2', 1_700_000_000],
    ['a/3', -99_999_999_999],
  ] as const) {
    await putBytes(store, key)
    await utimes(join(root, key), seconds, seconds)
  }
  // Times that a floating-point number of milliseconds can't hold
  for (let ms = 0; ms < 100; ms++) {
    const key = `b/${String(ms).padStart(2, '0')}`
    await putBytes(store, key)
    await utimes(join(root, key), 1_796_000_000 + ms / 1000, 1_796_000_000 + ms / 1000)
  }
  const listed: ListedObject[] = []
  for await (const page of store.list({ prefix: '' })) listed.push(...page)
  t.same(
    listed.slice(0, 3).map(({ key }) => key),
    ['a/1', 'a/2', 'a/3'],
  )
  t.equal(listed.length, 103)
  for (const { key, modified } of listed) {
    t.match(modified, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, 'a time as RFC 3339 has it')
    t.equal((await store.head(key)).lastModified.toISOString(), modified)
  }
})
