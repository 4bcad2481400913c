import { execFileSync } from 'node:child_process'
import { chmod, mkdir, readdir, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { v7 } from 'uuid'
import { DeleteFailure, StoreFailure } from '../../../src/errors.ts'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import type { ObjectStore } from '../../../src/store/object-store.ts'
import { pastUnreadable } from '../../../src/store/past-unreadable.ts'
import { findStory, listStories } from '../../../src/stories/list.ts'
import { listNewest } from '../../../src/stories/list-newest.ts'
import { removeAllStories, removeStory } from '../../../src/stories/remove.ts'
import { listStoryIds } from '../../../src/stories/story-ids.ts'
import { storyStore } from '../../../src/stories/story-store.ts'
import { Sweeper } from '../../../src/stories/sweep.ts'
import { verifyStories } from '../../../src/stories/verify.ts'
import { errorSerializer } from '../../../src/telemetry/error-serializer.ts'
import { listKeys, putBytes } from '../../support/bodies.ts'
import { putOurs, putStory } from '../../support/recording-store.ts'
import { makeFolder } from '../../support/stores.ts'

const HOUR = 3_600_000
const NOBODY = 65_534

const FOLDERS = ['stories/', 'idempotency/', 'variants/']

/** A store in which this process is bound by permissions, as a server that does not run as root. */
async function openAsNobody(t: Test, retention = 0) {
  const root = await makeFolder(t)
  const close = (folder: string) => chmod(join(root, folder), 0)
  const open = (folder: string) => chmod(join(root, folder), 0o750)
  t.teardown(() => execFileSync('chmod', ['-R', 'u+rwX', root]))
  if (process.getuid?.() === 0) {
    execFileSync('chown', [String(NOBODY), root])
    t.teardown(() => process.seteuid?.(0))
    process.seteuid?.(NOBODY)
  }
  return { root, store: await openDiskStore(root, FOLDERS, retention), close, open }
}

async function idsOf(list: AsyncIterable<({ readonly id: string } | string)[]>): Promise<string[]> {
  const ids: string[] = []
  for await (const page of list) ids.push(...page.map((item) => (typeof item === 'string' ? item : item.id)))
  return ids
}

/** A sweeper to which all that is put now is old. */
const lateSweeper = (store: ObjectStore) => new Sweeper(storyStore(store, HOUR), () => Date.now() + 10 * HOUR)

t.test('folders that can be no stories are not opened', async (t) => {
  const { root, store, close } = await openAsNobody(t)
  const id = v7()
  await putStory(store, id, ['1.jpg'])
  await putOurs(store, `variants/${id}/1.jpg.320.webp`)
  for (const folder of [
    'stories/@eaDir',
    'stories/lost+found',
    `stories/${id}/@eaDir`,
    'variants/@eaDir',
    'lost+found',
  ]) {
    await mkdir(join(root, folder))
    await writeFile(join(root, folder, '1.jpg'), 'x')
    await close(folder)
  }
  t.same(await idsOf(listStories(store)), [id])
  t.same(await idsOf(listNewest(store, 10)), [id])
  const sweeper = lateSweeper(store)
  t.same(await sweeper.sweep(), { stories: 0, keys: 0, idempotencyKeys: 0, variants: 0, left: 0 })
  t.same(await idsOf(listStoryIds(store, sweeper.watermark)), [id])
  t.same((await verifyStories(store, { onDamaged: () => {} })).stories, 1)
  await store.ready()
  await removeStory(storyStore(store, HOUR), id)
  await removeAllStories(storyStore(store, HOUR))
  t.same(await idsOf(listStories(store)), [])
})

t.test('a story that can not be read fails by itself', async (t) => {
  const { store, close, open } = await openAsNobody(t)
  const [first, broken, third] = [v7(), v7(), v7()] as const
  for (const id of [first, broken, third]) await putStory(store, id, ['1.jpg'])
  for (const id of [first, broken]) await putOurs(store, `variants/${id}/1.jpg.320.webp`)
  const folder = `stories/${broken}/`
  await close(folder)

  const error = await findStory(store, broken).catch((error) => error)
  t.type(error, StoreFailure)
  const logged = JSON.stringify(errorSerializer()(error))
  t.match(logged, /EACCES/)
  t.match(logged, folder.slice(0, -1), 'the log names the path')
  t.equal((await findStory(store, third)).id, third)
  await t.rejects(idsOf(listStories(store)), StoreFailure, 'who does not say that it goes on is not told a part')

  const told: string[] = []
  const readable = pastUnreadable(store, (name, error) => {
    t.type(error, StoreFailure)
    told.push(name)
  })
  t.same(await idsOf(listStories(readable)), [first, third])
  t.same(await idsOf(listNewest(readable, 10)), [third, first])
  t.same(new Set(told), new Set([folder]))

  const sweeper = lateSweeper(store)
  const leftAlone: string[] = []
  t.match(await sweeper.sweep({ onUnreadable: (name) => leftAlone.push(name) }), { variants: 0, left: 0 })
  t.same(leftAlone, [folder])
  t.same(await idsOf(listStoryIds(readable, sweeper.watermark)), [first, third])
  t.ok(
    (await listKeys(store, { prefix: `variants/${broken}/` })).length === 1,
    'nor are its variants taken for orphans',
  )

  const damaged: string[] = []
  await verifyStories(store, { onDamaged: (id) => damaged.push(id) })
  t.ok(damaged.includes(broken))

  const deletion = await removeAllStories(storyStore(store, HOUR)).catch((error) => error)
  t.type(deletion, DeleteFailure)
  t.same(deletion.keys, [folder])
  t.same(await idsOf(listStories(readable)), [], 'all the others are deleted')
  await open(folder)
  t.same(await idsOf(listStories(store)), [broken], 'and this one is whole')
  t.same(await idsOf(listStoryIds(store, sweeper.watermark)), [broken])
})

t.test('variants of a deleted story that can not be read are left alone, and the sweep goes on', async (t) => {
  const { store, close } = await openAsNobody(t)
  const [whole, broken, gone] = [v7(), v7(), v7()] as const
  await putStory(store, whole, ['1.jpg'])
  for (const id of [broken, gone]) await putOurs(store, `variants/${id}/1.jpg.320.webp`)
  const folder = `variants/${broken}/`
  await close(folder)
  const sweeper = lateSweeper(store)
  const leftAlone: string[] = []
  t.match(await sweeper.sweep({ onUnreadable: (name) => leftAlone.push(name) }), { variants: 1 })
  t.same(new Set(leftAlone), new Set([folder]))
  t.same(await listKeys(store, { prefix: `variants/${gone}/` }), [])
  t.same(await idsOf(listStoryIds(store, sweeper.watermark)), [whole])
  t.ok(sweeper.watermark, 'what a sweep has found is kept')
})

t.test('files that can not be looked at take their story away, and no other', async (t) => {
  const { root, store } = await openAsNobody(t)
  const [broken, whole] = [v7(), v7()] as const
  for (const id of [broken, whole]) await putStory(store, id, ['1.jpg'])
  // Names can be read, and nothing else
  await chmod(join(root, `stories/${broken}`), 0o400)
  const told: string[] = []
  const readable = pastUnreadable(store, (name) => told.push(name))
  t.same(await idsOf(listStories(readable)), [whole])
  t.same(new Set(told), new Set([`stories/${broken}/`]))
  await t.rejects(findStory(store, broken), StoreFailure)
})

t.test('a store whose own folders can not be used is not ready', async (t) => {
  const { store, close, open } = await openAsNobody(t)
  await putBytes(store, `stories/${v7()}/1.jpg`)
  await store.ready()
  for (const folder of ['stories', '.tmp', '.']) {
    await close(folder)
    const error = await store.ready().catch((error) => error)
    t.type(error, StoreFailure, folder)
    if (folder === 'stories') await t.rejects(idsOf(listStories(pastUnreadable(store, () => {}))), StoreFailure)
    await open(folder)
    await store.ready()
  }
})

t.test('a store with something else in the place of one of its own folders is not ready', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root, ['stories/'], HOUR)
  await store.ready()
  for (const name of ['.trash', 'stories']) {
    const path = join(root, name)
    await symlink(join(root, 'nowhere'), path)
    await t.rejects(store.ready(), StoreFailure, `${name} is a symbolic link that leads nowhere`)
    await unlink(path)
    await writeFile(path, '')
    await chmod(path, 0o755)
    await t.rejects(store.ready(), StoreFailure, `${name} is a file`)
    await unlink(path)
    await mkdir(join(root, 'elsewhere'), { recursive: true })
    await symlink(join(root, 'elsewhere'), path)
    await t.resolves(store.ready(), `${name} is a symbolic link to a folder`)
    await unlink(path)
  }
})

t.test(
  'a folder of the trash that can not be read is left alone: a sweep removes what expired in the others',
  async (t) => {
    const { root, store, close } = await openAsNobody(t, HOUR)
    const ids = [v7(), v7()].sort()
    for (const id of ids) {
      await putStory(store, id, ['1.jpg'])
      await removeStory(storyStore(store, HOUR), id)
    }
    const [hour = ''] = await readdir(join(root, '.trash'))
    const folder = `.trash/${hour}/stories/${ids[0]}/`
    await close(folder)
    const unreadable: string[] = []
    const sweeper = lateSweeper(store)
    await sweeper.sweep({
      onUnreadable(name, error) {
        unreadable.push(name)
        t.ok(error instanceof StoreFailure)
      },
    })
    t.same(unreadable, [folder])
    t.ok(sweeper.watermark)
    t.same(await readdir(join(root, `.trash/${hour}/stories`)), [ids[0]])
  },
)
