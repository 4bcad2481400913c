import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { basename, dirname, relative } from 'node:path'
import t, { type Test } from 'tap'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import { putBytes } from '../../support/bodies.ts'
import { makeFolder } from '../../support/stores.ts'

t.test('bytes are durable before they get their name, names before the put resolves', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  const { calls, at } = recordFileCalls(t, root)
  await putBytes(store, 'stories/a/1.jpg')
  calls.push('put done')
  const moves = calls.filter((call) => call.startsWith('rename ') && call.endsWith(' begun'))
  const sources = ['stories/a/.1.jpg.json', 'stories/a/1.jpg'].map((target) => {
    const move = moves.findLast((move) => move.includes(` to ${target} `)) ?? ''
    return move.split(' ')[1]
  })
  const [sidecar, object] = sources
  t.not(sidecar, object)
  inOrder(t, at, `datasync ${object} done`, `rename ${object} to stories/a/1.jpg begun`)
  inOrder(t, at, `datasync ${sidecar} done`, `rename ${sidecar} to stories/a/.1.jpg.json begun`)
  inOrder(
    t,
    at,
    `rename ${sidecar} to stories/a/.1.jpg.json done`,
    `rename ${object} to stories/a/1.jpg begun`,
    `rename ${object} to stories/a/1.jpg done`,
    'sync stories/a begun',
    'sync stories/a done',
    'put done',
  )
  inOrder(t, at, 'mkdir stories done', 'sync . begun', 'sync . done', 'mkdir stories/a done')
  inOrder(t, at, 'mkdir stories/a done', 'sync stories begun', 'sync stories done', 'put done')
})

t.test('puts into one folder share its syncs, and none takes part in one that began too early', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  const { calls, at } = recordFileCalls(t, root)
  const names = Array.from({ length: 32 }, (_, n) => `${n + 1}.jpg`)
  await Promise.all(
    names.map(async (name) => {
      await putBytes(store, `stories/a/${name}`)
      calls.push(`put ${name} done`)
    }),
  )
  const made = at('sync stories done')
  for (const name of names) {
    const renamed = calls.findLastIndex((call) => call.endsWith(` to stories/a/${name} done`))
    const begun = calls.indexOf('sync stories/a begun', renamed)
    const synced = calls.indexOf('sync stories/a done', begun)
    const done = at(`put ${name} done`)
    t.ok(renamed >= 0 && renamed < begun && begun < synced && synced < done, name)
    t.ok(made < done, 'the folder itself is durable')
  }
  const syncs = calls.filter((call) => call === 'sync stories/a begun').length
  t.ok(syncs < names.length / 2, `${syncs} syncs for ${names.length} puts`)
})

t.test('a deletion is durable when it resolves', async (t) => {
  const root = await makeFolder(t)
  const store = await openDiskStore(root)
  await putBytes(store, 'stories/a/1.jpg')
  await putBytes(store, 'stories/a/2.jpg')
  const { calls, at } = recordFileCalls(t, root)
  await store.delete(['stories/a/1.jpg'])
  calls.push('delete done')
  inOrder(t, at, 'unlink stories/a/1.jpg done', 'unlink stories/a/.1.jpg.json begun')
  inOrder(t, at, 'unlink stories/a/.1.jpg.json done', 'sync stories/a begun', 'sync stories/a done', 'delete done')
})

function inOrder(t: Test, at: (call: string) => number, ...calls: string[]): void {
  const places = calls.map(at)
  t.notOk(places.includes(-1), `${calls.join(', ')}: all there`)
  t.same(
    places,
    places.toSorted((a, b) => a - b),
    calls.join(', '),
  )
}

/**
 * Writes down the calls that change names or sync, "<call> <path> begun" and "… done", with paths below `root`; those that failed
 * have no "done".
 */
function recordFileCalls(t: Test, root: string) {
  const calls: string[] = []
  const shown = (path: unknown) => {
    const below = relative(root, String(path)) || '.'
    return dirname(below) === '.tmp' ? basename(below) : below
  }
  async function noted<T>(call: string, work: () => Promise<T>): Promise<T> {
    calls.push(`${call} begun`)
    const result = await work()
    calls.push(`${call} done`)
    return result
  }
  const { mkdir, open, rename, unlink } = fs
  const patched = {
    mkdir: (path: string) => noted(`mkdir ${shown(path)}`, () => mkdir(path)),
    rename: (from: string, to: string) => noted(`rename ${shown(from)} to ${shown(to)}`, () => rename(from, to)),
    unlink: (path: string) => noted(`unlink ${shown(path)}`, () => unlink(path)),
    open: async (path: string, ...rest: [flags?: string, mode?: number]) => {
      const file = await open(path, ...rest)
      const { sync, datasync } = file
      file.sync = () => noted(`sync ${shown(path)}`, () => sync.call(file))
      file.datasync = () => noted(`datasync ${shown(path)}`, () => datasync.call(file))
      return file
    },
  }
  // A module's imports of a built-in one follow what `require` gives of it
  Object.assign(fs, patched)
  syncBuiltinESMExports()
  t.teardown(() => {
    Object.assign(fs, { mkdir, open, rename, unlink })
    syncBuiltinESMExports()
  })
  return { calls, at: (call: string) => calls.indexOf(call) }
}
