import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { engines } from '../support/engines.ts'
import { examplesOf, run } from '../support/examples.ts'
import { get, IMAGES, type ListedImage, listImages, remove, STORY_IDS, someImages, upload } from './client.ts'
import { CLI, runCommand } from './command.ts'
import { aServer, lines } from './commands.ts'
import { openers, serverOn } from './stores.ts'

/** Runs an example of docs/backup.md in a shell that has the command. */
async function runExample(t: Test, name: 'undo' | 'now', environment: Readonly<Record<string, string>>) {
  const example = await examplesOf('docs/backup.md')
  const bin = t.testdir({ 'story-images': `#!/bin/sh\nexec "${process.execPath}" "${CLI}" "$@"\n` })
  await chmod(join(bin, 'story-images'), 0o755)
  return run('sh', ['-ec', example(name)], {
    env: { PATH: `${bin}:${process.env.PATH}`, ...environment },
  })
}

/** Stores that keep what is deleted. */
const keeping = openers.filter(
  ([name]) => name === 'disk' || engines.some((engine) => engine.versioning === 'Enabled' && engine.name === name),
)
for (const [name, open] of keeping)
  t.test(`a story that was deleted comes back beside the running server, as it was (${name})`, async (t) => {
    const store = await open(t)
    const server = await serverOn(t, store)
    const at = { STORY_IMAGES_SERVER: server.url }
    const key = { 'idempotency-key': 'the-same-for-both' }
    const images = await someImages(2)
    const { story_id: id } = await upload(server, images, key)
    const before = await listImages(server, `${IMAGES}/${id}`)
    const found = await Promise.all(before.map(({ path }) => fetch(server.url + path)))
    t.equal((await fetch(`${server.url}${before[0]?.path}?w=320`)).status, 200, 'a variant is made')
    await remove(server, `${IMAGES}/${id}`)
    t.same((await get(server, STORY_IDS)).json(), [])
    t.equal((await fetch(server.url + before[0]?.path)).status, 404)
    t.equal((await fetch(`${server.url}${before[0]?.path}?w=320`)).status, 404)

    const [deleted, ...others] = lines<Record<string, unknown>>(
      (await runCommand('ls', ['--deleted', '--json'], store.environment)).stdout,
    )
    t.match(deleted, { story_id: id, image_count: 2, deleted_at: /Z$/, ...(name === 'disk' && { kept_until: /Z$/ }) })
    t.same(others, [])
    const restored = await runExample(t, 'undo', { ...store.environment, STORY: id })
    t.equal(restored.code, 0, restored.stderr)
    t.match(restored.stdout, `Restored ${id}\n`)

    t.same((await get(server, STORY_IDS)).json(), [id])
    t.same(await listImages(server, `${IMAGES}/${id}`), before)
    for (const [index, { path }] of before.entries()) {
      const again = await fetch(server.url + path)
      t.same(Buffer.from(await again.arrayBuffer()), images[index])
      for (const name of ['etag', 'last-modified', 'content-type', 'x-image-width'])
        t.equal(again.headers.get(name), found[index]?.headers.get(name), name)
    }
    t.equal((await fetch(`${server.url}${before[0]?.path}?w=320`)).status, 200)
    t.equal((await upload(server, images, key)).story_id, id, 'an upload that is sent again gets the story')
    t.match(await runCommand('verify', ['--json'], store.environment), { code: 0, stdout: /"stories":1,"damaged":0/ })

    await runCommand('rm', ['--yes', id], at)
    const gone = await runExample(t, 'now', { ...store.environment, STORY: id })
    t.match(gone, { code: 0, stdout: `Deleted ${id} for good\n` })
    t.match(await runCommand('restore', [id], store.environment), { code: 1, stdout: '', stderr: /nothing is kept/ })
    t.match(await runCommand('restore', ['--deleted-since', '2h'], store.environment), { code: 0, stdout: '' })
  })

t.test('every story that was deleted lately comes back after a deletion of all', async (t) => {
  const { server, store, at } = await aServer(t)
  const [image] = (await someImages(1)) as [Buffer]
  const ids: string[] = []
  for (let n = 0; n < 3; n++) ids.push((await upload(server, [image])).story_id)
  await runCommand('rm', ['--all', '--yes'], at)
  const { code, stdout } = await runCommand('restore', ['--deleted-since', '1h', '--json'], store.environment)
  t.equal(code, 0)
  t.same(
    lines<{ restored: string }>(stdout).map(({ restored }) => restored),
    ids,
  )
  t.same((await get(server, STORY_IDS)).json(), ids)
  t.equal((await get(server, IMAGES)).json<ListedImage[]>().length, 3)
  t.match(await runCommand('rm', ['--all', '--yes', '--now'], store.environment), {
    code: 0,
    stdout: 'Deleted every story for good\n',
  })
  t.same((await get(server, STORY_IDS)).json(), [])
  t.equal((await runCommand('ls', ['--deleted', '--json'], store.environment)).stdout, '')
})

t.test('with TRASH_RETENTION=0s nothing is kept, and the command says so', async (t) => {
  const { server, store, at } = await aServer(t, { TRASH_RETENTION: '0s' })
  const { story_id: id } = await upload(server, await someImages(1))
  await runCommand('rm', ['--yes', id], at)
  t.match(await runCommand('restore', [id], { ...store.environment, TRASH_RETENTION: '0s' }), {
    code: 1,
    stderr: /keeps nothing of deleted stories/,
  })
})

t.test('what restore, ls --deleted and rm --now can not do is refused', async (t) => {
  for (const [command, args, sentence] of [
    ['restore', [], /either the ids of stories, or --deleted-since/],
    ['restore', ['--deleted-since', 'yesterday'], /has to be a duration/],
    ['ls', ['--deleted', '--limit', '3'], /without an id and --limit/],
    ['ls', ['--deleted', '--server', 'http://localhost:1'], /takes no --server/],
    ['rm', ['--now', '--all', '--yes', '--server', 'http://localhost:1'], /takes no --server/],
    ['rm', ['--now', '--all'], /needs --yes/],
  ] as const)
    t.match(await runCommand(command, args, {}), { code: 2, stdout: '', stderr: sentence })
})
