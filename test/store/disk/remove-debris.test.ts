import { mkdir, readdir, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t from 'tap'
import { v7 } from 'uuid'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import { storyStore } from '../../../src/stories/story-store.ts'
import { Sweeper } from '../../../src/stories/sweep.ts'
import { listKeys, putBytes } from '../../support/bodies.ts'
import { putOurs, putStory } from '../../support/recording-store.ts'
import { makeFolder } from '../../support/stores.ts'

const HOUR = 3_600_000
const LONG_AGO = new Date('2024-01-01T00:00:00Z')
const SIDECAR = JSON.stringify({ id: 'a', contentType: 'image/jpeg', metadata: {} })

t.test('a sweep removes what is not an object, is old, and is the store’s own', async (t) => {
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
  // A file can be made to look younger than it is, and not older
  const young = new Date(Date.now() + 3 * HOUR)
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
  await place('.tmp/young', SIDECAR, young)
  await place(`stories/${fresh}/.1.jpg.json`, SIDECAR, young)
  const before = (await readdir(root, { recursive: true })).sort()
  for (const dryRun of [true, false]) {
    const removed: string[] = []
    await new Sweeper(storyStore(store, HOUR), () => Date.now() + 2 * HOUR).sweep({
      dryRun,
      onDebris: (name) => removed.push(name),
    })
    t.same(removed.sort(), remains.toSorted())
    const gone = new Set(dryRun ? [] : remains.map((path) => path.replace(/\/$/, '')))
    t.same(
      (await readdir(root, { recursive: true })).sort(),
      before.filter((path) => !gone.has(path)),
    )
  }
})

t.test('a restore that is under way is none of a sweep’s business, whatever times its files have kept', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  const id = v7({ msecs: 1_700_000_000_000 })
  const record = `idempotency/${'a'.repeat(64)}.1`
  await putStory(store, id, ['1.jpg', '2.jpg'])
  await putOurs(store, `variants/${v7({ msecs: 1_700_000_000_000 })}/1.jpg.160.webp`)
  await putOurs(store, record)
  const sweep = (later: number) => new Sweeper(storyStore(store, HOUR), () => Date.now() + later).sweep()
  // As by `cp -a`, `rsync -a` or `tar`: first the folder, whose time comes last, then one file after another
  await store.delete([`stories/${id}/0.2.json`])
  for (const name of await readdir(root, { recursive: true })) await utimes(join(root, name), LONG_AGO, LONG_AGO)
  const before = (await readdir(root, { recursive: true })).sort()
  await sweep(0)
  t.same((await readdir(root, { recursive: true })).sort(), before)
  t.same((await store.head(record)).lastModified, LONG_AGO, 'HTTP tells the time that the file has kept')
  await sweep(100 * HOUR)
  t.same(await listKeys(store), [], 'days later it is what a crash may have left')
})
