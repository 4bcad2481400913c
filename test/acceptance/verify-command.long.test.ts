import { readFile, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { sample } from '../support/extent.ts'
import { someImages, upload } from './client.ts'
import { runCommand } from './command.ts'
import { diskStore, onEachStore, serverOn, standInStore, type TestStore } from './stores.ts'
import { threeImages } from './whole-stories.ts'

onEachStore('npm run verify reads every image of every story', async (t, server, store) => {
  const verify = (...args: string[]) => runCommand('verify', args, store.environment)
  t.match(await verify(), { code: 0, stdout: '0 stories, 0 damaged; read 0 images, 0 bytes\n' })
  const images = await threeImages()
  const bytes = images.reduce((sum, image) => sum + image.length, 0)
  const { story_id } = await upload(server, images)
  // Whose record has another name, and one member more
  await upload(server, images, { 'idempotency-key': story_id })
  await store.place('stories/01a205ad-87f4-47cd-a8d8-f60e2cbf53b1/1.jpg', images[0] as Buffer)
  const all = await verify()
  const counts = `2 stories, 0 damaged; read 6 images, ${2 * bytes} bytes; 1 imported stories\n`
  t.match(all, { code: 0, stdout: counts, stderr: /^The images are .*\n$/ }, 'no progress but on a terminal')
  t.match(await verify('--story', story_id), {
    code: 0,
    stdout: `1 stories, 0 damaged; read 3 images, ${bytes} bytes\n`,
  })
})

/** Changes what is stored behind the server's back; `undefined` removes it. */
async function damage(store: TestStore, key: string, to: (bytes: Buffer) => Buffer | undefined): Promise<void> {
  if (store.standIn) {
    const object = store.standIn.objects.get(key)
    const bytes = to(object?.body ?? Buffer.alloc(0))
    if (bytes) store.standIn.place(key, bytes, object ?? {})
    else store.standIn.objects.delete(key)
    return
  }
  const path = join(store.environment.DATA_DIR as string, key)
  const bytes = to(await readFile(path).catch(() => Buffer.alloc(0)))
  if (bytes) await writeFile(path, bytes)
  else await unlink(path)
}

function flipped(bytes: Buffer): Buffer {
  const result = Buffer.from(bytes)
  const middle = Math.floor(result.length / 2)
  result[middle] = (result[middle] as number) ^ 1
  return result
}

for (const [name, open] of sample(
  [
    ['disk', diskStore],
    ['the stand-in', standInStore],
  ] as const,
  1,
)) {
  t.test(`npm run verify finds each damage (${name})`, async (t) => {
    const store: TestStore = await open(t)
    const server = await serverOn(t, store)
    const images = await someImages(3)
    const damages: [key: string, to: (bytes: Buffer) => Buffer | undefined, problem: RegExp][] = [
      ['1.jpg', flipped, /1\.jpg has other bytes: its SHA-256 differs/],
      ['2.png', (bytes) => bytes.subarray(0, -1), /2\.png has \d+ bytes, and not \d+/],
      ['3.jpg', () => undefined, /3\.jpg is missing/],
      ['4.jpg', () => images[0], /4\.jpg is not in the record/],
      ['0.3.json', flipped, /the record (is|has) .+/],
      ['0.3.json', (bytes) => bytes.subarray(0, 10), /the record is not JSON/],
      ['0.2.json', () => Buffer.from('{}'), /there are 2 records/],
    ]
    const sound = await upload(server, images)
    const damaged: string[] = []
    for (const [key, to] of damages) {
      const { story_id } = await upload(server, images)
      await damage(store, `stories/${story_id}/${key}`, to)
      damaged.push(story_id)
    }
    const { story_id } = await upload(server, images)
    await damage(store, `stories/${story_id}/0.3.json`, () => undefined)
    const all = await runCommand('verify', [], store.environment)
    t.equal(all.code, 1)
    for (const [index, [key, , problem]] of damages.entries()) {
      t.match(all.stdout, new RegExp(`^${damaged[index]}\n( {2}.*\n)*  ${problem.source}\n`, 'm'), key)
    }
    t.match(all.stdout, /\n8 stories, 7 damaged; read \d+ images, \d+ bytes; 1 ids without a record, .+\n$/)
    t.notMatch(all.stdout, sound.story_id)
    t.match(await runCommand('verify', ['--story', story_id], store.environment), {
      code: 1,
      stderr: new RegExp(`There is no story "${story_id}"\n$`),
    })
    for (const args of [['--story', 'one'], ['--story'], ['--all']])
      t.match(await runCommand('verify', args, store.environment), { code: 2, stdout: '' })
    t.match(await runCommand('verify', ['--help'], {}), { code: 0, stdout: /--story <id>/ })
  })
}
