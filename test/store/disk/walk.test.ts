import { existsSync } from 'node:fs'
import { utimes } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import type { ListedObject } from '../../../src/store/object-store.ts'
import { putBytes } from '../../support/bodies.ts'
import { makeFolder } from '../../support/stores.ts'

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
