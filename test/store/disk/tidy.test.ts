import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import { v7 } from 'uuid'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import { Sweeper } from '../../../src/stories/sweep.ts'
import { putBytes } from '../../support/bodies.ts'
import { putStory } from '../../support/recording-store.ts'
import { makeFolder } from '../../support/stores.ts'

const HOUR = 3_600_000
const SIDECAR = JSON.stringify({ id: 'a', contentType: 'image/jpeg', metadata: {} })

t.test('a sweep tidies what is no object, is old, and is the store’s own', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  const [whole, empty, orphans, mixed, fresh] = [0, 1, 2, 3, 4].map((n) => v7({ msecs: 1_700_000_000_000 + n })) as [
    string,
    string,
    string,
    string,
    string,
  ]
  const old = new Date(Date.now() - 3 * HOUR)
  const place = async (path: string, text: string, time = old) => {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
    await utimes(join(root, path), time, time)
    await utimes(dirname(join(root, path)), time, time)
  }
  await putStory(store, whole, ['1.jpg'])
  await putBytes(store, 'stories/-deleting/notes.txt')
  await mkdir(join(root, 'stories', empty))
  await utimes(join(root, 'stories', empty), old, old)
  const remains = [
    '.tmp/7e0c',
    'stories/-deleting/.018f0000-0000-7000-8000-000000000000.018f0000-0000-7000-8000-000000000000.json',
    `stories/${empty}/`,
    `stories/${orphans}/.1.jpg.json`,
    `stories/${orphans}/.2.png.json`,
    `stories/${orphans}/`,
    `stories/${mixed}/.2.jpg.json`,
  ]
  for (const path of remains) if (!path.endsWith('/')) await place(path, SIDECAR)
  // Somebody else's, or young
  const staying = [`stories/${mixed}/.DS_Store`, `stories/${mixed}/.notes.json`, `stories/${mixed}/.list.json`]
  await place(staying[0] as string, SIDECAR)
  await place(staying[1] as string, '{"id":1}')
  await place(staying[2] as string, 'no JSON')
  await place('.tmp/young', SIDECAR, new Date())
  await place(`stories/${fresh}/.1.jpg.json`, SIDECAR, new Date())
  const before = (await readdir(root, { recursive: true })).sort()
  for (const dryRun of [true, false]) {
    const tidied: string[] = []
    await new Sweeper(store, HOUR).sweep({ dryRun, onTidied: (name) => tidied.push(name) })
    t.same(tidied.sort(), remains.toSorted())
    const gone = new Set(dryRun ? [] : remains.map((path) => path.replace(/\/$/, '')))
    t.same(
      (await readdir(root, { recursive: true })).sort(),
      before.filter((path) => !gone.has(path)),
    )
  }
})
