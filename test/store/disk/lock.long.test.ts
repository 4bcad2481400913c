import { type ChildProcess, execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { openDiskStore } from '../../../src/store/disk/disk-store.ts'
import { FolderInUse, lockFolder } from '../../../src/store/disk/lock.ts'
import { listStories } from '../../../src/stories/list.ts'
import { ALL } from '../../support/extent.ts'
import type { Order } from '../../support/second-process.ts'
import { fillDisk, mount, mountOf, whyNoMount } from '../../support/small-disk.ts'
import { makeFolder } from '../../support/stores.ts'

const PROCESS = fileURLToPath(new URL('../../support/second-process.ts', import.meta.url))

/** Where fsync(2) costs nothing, since many small files are written. */
const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : undefined

async function startProcess(t: Test, root: string): Promise<ChildProcess> {
  const child = fork(PROCESS, [root])
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'message')
  return child
}

async function ask(child: ChildProcess, order: Order): Promise<string | undefined> {
  const answered = once(child, 'message')
  child.send(order)
  return (await answered)[0].result
}

async function killed(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

t.test('of many servers that start at once, also after a crash of the last one, one gets the folder', async (t) => {
  const root = await makeFolder(t)
  const processes = await Promise.all(Array.from({ length: ALL ? 6 : 3 }, () => startProcess(t, root)))
  for (let last = processes.length; last > 0; last--) {
    const answers = await Promise.all(processes.map((child) => ask(child, { do: 'lock' })))
    const winner = processes[answers.indexOf('locked')] as ChildProcess
    t.equal(answers.filter((answer) => answer === 'locked').length, 1, `one of ${last}`)
    const refusals = answers.filter((answer) => answer !== 'locked')
    for (const refusal of refusals) t.match(refusal, `another server uses DATA_DIR, ${root}`)
    const [again] = await Promise.all([ask(winner, { do: 'lock' })])
    t.match(again, new RegExp(`process ${winner.pid} on .+, since 20`), 'it is named')
    await killed(winner)
    processes.splice(processes.indexOf(winner), 1)
  }
})

t.test('two processes make one story for each idempotency key', async (t) => {
  const root = await makeFolder(t, MEMORY)
  const processes = await Promise.all([1, 2].map(() => startProcess(t, root)))
  const keys = Number(process.env.KEYS ?? (ALL ? 60 : 20))
  let twice = 0
  for (let n = 0; n < keys; n++) {
    const order: Order = { do: 'upload', key: `key ${n}` }
    const ids = await Promise.all(processes.map((child) => ask(child, order)))
    if (new Set(ids.filter((id) => id !== undefined)).size !== 1) twice++
  }
  t.equal(twice, 0, `of ${keys} keys`)
  let stories = 0
  for await (const page of listStories(await openDiskStore(root))) stories += page.length
  t.equal(stories, keys)
})

t.test('the refusal says what is known of the other server', async (t) => {
  const root = await makeFolder(t)
  await openDiskStore(root)
  await writeFile(join(root, '.lock'), `${'x'.repeat(5000)} of a crash`)
  const lock = await lockFolder(root)
  await lock.note('http://127.0.0.1:8000')
  t.match(await lockFolder(root).catch((error) => error), {
    constructor: FolderInUse,
    message: new RegExp(`process ${process.pid} on .+, at http://127.0.0.1:8000, since 20.+Z\\); stop that one first`),
  })
  await writeFile(join(root, '.lock'), '')
  await t.rejects(lockFolder(root), /^another server uses DATA_DIR, \S+; stop that one first/)
  await lock.release()
  const next = await lockFolder(root)
  t.equal(next.problem, undefined)
  await next.release()
})

t.test('a disk that is full, or read-only, does not keep a server from starting', { skip: whyNoMount() }, async (t) => {
  const root = await mountOf(t, '1m')
  const first = await lockFolder(root)
  await first.release()
  await fillDisk(root)
  const second = await lockFolder(root)
  t.equal(second.problem, undefined)
  await t.rejects(lockFolder(root), /^another server uses DATA_DIR/)
  await second.release()
  mount(t, ['--bind', root, root])
  execFileSync('mount', ['-o', 'remount,ro,bind', root])
  t.match((await lockFolder(root)).problem, { code: 'EROFS' })
})
