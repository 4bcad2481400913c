import { cp, readdir, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { readConfig } from '../../src/config.ts'
import { LAYOUT } from '../../src/layout/layout.ts'
import { openStore } from '../../src/store/open-store.ts'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { makeFolder } from '../support/stores.ts'
import { type Answer, get, IMAGES, post, remove, STORY_IDS, someImages, until, upload } from './client.ts'
import { lateSweeps } from './late-sweep.ts'
import { diskStore } from './stores.ts'
import { wholeStories } from './whole-stories.ts'

// A server is started for each kill

/** Older than any upload can run, so that its deletion has a tombstone. */
const OLD = '018f0000-0000-7000-8000-000000000000'

/** Folders that are there for good once they were needed. */
const FOLDERS = new Set(['stories/-deleting/', 'other/'])

interface Act {
  readonly name: string
  /** Whether it is about a story that is there before. */
  readonly isOfOldStory?: true
  readonly act: (server: ServerProcess, parts: { body: Buffer }[], id: string) => Promise<Answer>
}

const ACTS: readonly Act[] = [
  { name: 'an upload', act: (server, parts) => post(server, parts) },
  {
    name: 'a delete of an old story',
    isOfOldStory: true,
    act: (server, _parts, id) => remove(server, `${IMAGES}/${id}`),
  },
]

for (const { name, isOfOldStory, act } of ACTS) {
  t.test(`a server killed at any change that ${name} makes on disk leaves the whole story or none`, async (t) => {
    const store = await diskStore(t)
    const folder = store.environment.DATA_DIR as string
    const inside = await openStore(readConfig(store.environment), LAYOUT)
    const moment = join(await makeFolder(t), 'moment')
    const saved = await makeFolder(t)
    const images = await someImages(2)
    const parts = images.map((body) => ({ body }))
    const preload = new URL('../support/kill-at-call.mjs', import.meta.url)
    const start = async () => {
      const environment = { NODE_OPTIONS: `--import=${preload}`, KILL_FILE: moment }
      const server = await startServer({ ...store.environment, ...environment })
      // On a machine that is busy it refuses what comes too soon
      await until('it serves', async () => (await get(server, STORY_IDS)).status === 200)
      return server
    }
    let server = await start()
    t.teardown(() => server.kill())

    let story = ''
    if (isOfOldStory) {
      story = (await upload(server, images)).story_id
      await rename(join(folder, 'stories', story), join(folder, 'stories', OLD))
      story = OLD
      await cp(folder, saved, { recursive: true, preserveTimestamps: true })
    }

    let call = 0
    for (let answered = false; !answered; ) {
      call += 1
      const what = `change ${call}`
      for (const entry of await readdir(folder))
        if (entry !== '.tmp') await rm(join(folder, entry), { recursive: true })
      await cp(saved, folder, { recursive: true, preserveTimestamps: true })
      await writeFile(moment, `${call}`)
      const answer = await act(server, parts, story).catch(() => undefined)
      answered = answer !== undefined
      if (answer) t.equal(answer.status, 200, `${what}: there is none`)
      await server.kill()
      await unlink(moment)
      server = await start()
      const ids = await wholeStories(t, server, images, what)
      if (answered) t.equal(ids.length, isOfOldStory ? 0 : 1, `${what}: what was answered is done`)
      if (isOfOldStory) t.ok(ids.length === 0 || ids[0] === story)
      await lateSweeps(t, inside, server, images, ids, what)
      const isKnown = (path: string) => FOLDERS.has(path) || ids.some((id) => path.startsWith(`stories/${id}/`))
      const rest = (await store.content()).filter((path) => !isKnown(path))
      t.same(rest, [], `${what}: nor is any file or folder`)
    }
    t.comment(`${call - 1} changes of the file system`)
  })
}
