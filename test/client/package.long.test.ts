import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { diskStore, serverOn } from '../acceptance/stores.ts'
import { ROOT } from '../support/examples.ts'
import { makeImage } from '../support/images.ts'

const run = promisify(execFile)

t.test('the package of the client brings openapi-fetch alone, and works in both kinds of modules', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'story-images-client-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|TAP)/.test(name)))
  const pack = ['pack', '--workspace', 'story-images-client', '--json', '--pack-destination', folder]
  const { stdout } = await run('npm', pack, { cwd: ROOT, env })
  const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }]
  const paths = files.map(({ path }) => path)
  for (const path of ['dist/index.js', 'dist/index.cjs', 'dist/index.d.ts', 'dist/index.d.cts', 'README.md'])
    t.ok(paths.includes(path), path)
  t.same(
    paths.filter((path) => /^src|test/.test(path)),
    [],
  )

  const app = join(folder, 'app')
  await mkdir(app)
  await writeFile(join(app, 'package.json'), '{"private": true}')
  const install = ['install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, filename)]
  const { stderr } = await run('npm', install, { cwd: app, env })
  t.notMatch(stderr, /warn/)
  const installed = (await readdir(join(app, 'node_modules'))).filter((name) => !name.startsWith('.'))
  t.same(installed.sort(), ['openapi-fetch', 'openapi-typescript-helpers', 'story-images-client'])

  const server = await serverOn(t, await diskStore(t))
  await writeFile(join(app, '1.png'), await makeImage({ type: 'png' }))
  const program = `
    async function main() {
      const client = createClient({ baseUrl: '${server.url}' })
      const story = await client.upload([new Blob([readFileSync('1.png')])])
      const { data } = await client.GET('/api/v1/images/{story_id}', { params: { path: { story_id: story.story_id } } })
      console.log(data.length, story.image_count)
    }
    main()`
  await writeFile(
    join(app, 'a.mjs'),
    `import { readFileSync } from 'node:fs'; import { createClient } from 'story-images-client'; ${program}`,
  )
  await writeFile(
    join(app, 'a.cjs'),
    `const { readFileSync } = require('node:fs'); const { createClient } = require('story-images-client'); ${program}`,
  )
  for (const name of ['a.mjs', 'a.cjs'])
    t.equal((await run(process.execPath, [name], { cwd: app, env })).stdout, '1 1\n', name)
})
