import { type ExecFileException, execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { someImages, until } from './client.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

t.test('the package, installed into an empty folder without a warning, runs there', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'story-images-pack-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const environment = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(npm_|NODE_|TAP)/.test(name)),
  )
  const run = (command: string, args: readonly string[], cwd: string) =>
    new Promise<string>((resolve, reject) => {
      execFile(command, args, { cwd, env: environment }, (error: ExecFileException | null, stdout, stderr) =>
        error || (command === 'npm' && /\bwarn\b/.test(stderr))
          ? reject(new Error(`${command} ${args.join(' ')}: ${stdout}${stderr}`))
          : resolve(stdout),
      )
    })
  // What it is made of is there already: tests run after the build
  await run(process.execPath, ['--import', './build/typescript.mjs', 'build/package.ts'], ROOT)
  const packed = await run('npm', ['pack', './dist-package', '--json', '--pack-destination', folder], ROOT)
  const [{ filename, files }] = JSON.parse(packed) as [{ filename: string; files: { path: string }[] }]
  const paths = files.map(({ path }) => path)
  for (const path of [
    'package.json',
    'README.md',
    'LICENSE',
    'CHANGELOG.md',
    'dist/LICENSES.txt',
    'dist/cli.js',
    'dist/server.js',
    'docs/cli.md',
  ])
    t.ok(paths.includes(path), path)
  t.same(
    paths.filter((path) => /^(src|test|bench|node_modules|\.)|\.env/.test(path)),
    [],
    'nothing else',
  )

  const app = join(folder, 'app')
  await mkdir(app)
  await writeFile(join(app, 'package.json'), '{"private": true}')
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, filename)], app)
  const command = (...args: string[]) => run('npx', ['--no-install', 'story-images', ...args], app)
  t.match(await command('--version'), /^\d+\.\d+\.\d+\n$/)

  const server = spawn(join(app, 'node_modules/.bin/story-images'), ['serve'], {
    cwd: app,
    env: { ...environment, PORT: '0' },
  })
  const ended = new Promise((resolve) => server.once('close', resolve))
  t.teardown(() => server.kill('SIGKILL'))
  let log = ''
  for (const stream of [server.stdout, server.stderr]) stream.on('data', (text) => (log += text))
  await until('it listens, or ends', () => server.exitCode !== null || log.includes('Server listening at'))
  t.match(log, /Server listening at/)
  const [url = ''] = /http:\/\/[^"]+:\d+/.exec(log) ?? []
  const [image] = await someImages(1)
  await writeFile(join(app, 'a.jpg'), image as Buffer)
  const [id = ''] = (await command('upload', '--server', url, 'a.jpg')).split('\n')
  t.match(await command('ls', '--server', url), `\n${id} `)
  t.match(await command('verify'), /^1 stories, 0 damaged/)
  t.equal(await command('rm', '--server', url, '--yes', id), `Deleted ${id}\n`)
  t.match(await command('sweep', '--all'), /^Removed 0 keys/)
  server.kill('SIGTERM')
  t.equal(await ended, 0, log)
})
