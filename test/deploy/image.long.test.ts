import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { get, IMAGES, listImages, remove, someImages, until, upload } from '../acceptance/client.ts'
import { endWithUs } from '../support/end-with-us.ts'
import { ROOT } from '../support/examples.ts'
import { whyNoMount } from '../support/small-disk.ts'
import { makeFolder } from '../support/stores.ts'

const run = promisify(execFile)
const dockerfile = (await readFile(join(ROOT, 'Dockerfile'), 'utf8')).replace(/^#.*\n/gm, '').replace(/\\\n/g, ' ')
const stage = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))
const instruction = (name: string) => new RegExp(`^${name} (.*)$`, 'm').exec(stage)?.[1] ?? ''
const user = instruction('USER')
const settings = Object.fromEntries(
  instruction('ENV')
    .split(' ')
    .map((setting) => setting.split('=') as [string, string]),
)
const command: string[] = JSON.parse(instruction('CMD'))
const probe: string[] = JSON.parse(/CMD (\[.*)/.exec(instruction('HEALTHCHECK'))?.[1] ?? '[]')

/** Writes what the image has in /app. Tests run after the build. */
async function writeImage(folder: string, platform: string): Promise<void> {
  await run(process.execPath, ['--import', './build/typescript.mjs', 'build/image.ts', folder, platform], { cwd: ROOT })
}

/** The packages of a node_modules, sorted. */
async function packagesIn(folder: string): Promise<string[]> {
  const { packages } = JSON.parse(await readFile(join(folder, 'node_modules/.package-lock.json'), 'utf8'))
  return Object.keys(packages)
    .map((path) => path.replace('node_modules/', ''))
    .sort()
}

/**
 * Mounts a read-only root with the system's libraries, the tree at /app and two folders that can be written, and becomes the user. The
 * last process replaces the others, so signals reach it as they do in a container.
 */
const CONTAINER = `
  root=$1 app=$2 user=$3 node=$4
  shift 4
  mount -t tmpfs -o size=1m tmpfs "$root"
  mkdir "$root/app" "$root/data" "$root/tmp" "$root/proc" "$root/dev" "$root/node"
  ln -s usr/bin "$root/bin"
  mount --bind "$app" "$root/app"
  mount --bind "$node" "$root/node"
  for path in /etc /usr /lib /lib64; do
    if [ -d "$path" ]; then mkdir "$root$path" && mount --bind "$path" "$root$path"; fi
  done
  mount -t tmpfs -o size=64m,mode=1777 tmpfs "$root/tmp"
  mount --bind "$root.data" "$root/data"
  mount --rbind /proc "$root/proc"
  mount --rbind /dev "$root/dev"
  for path in / /app /node /etc /usr /lib /lib64; do
    if [ -d "$root$path" ]; then mount -o remount,bind,ro "$root$path"; fi
  done
  exec chroot "$root" /usr/bin/setpriv --reuid "\${user%:*}" --regid "\${user#*:}" --clear-groups --no-new-privs --bounding-set=-all \\
    /usr/bin/env -C /app "$@"
`

t.test(
  'what the image holds starts as its user on a read-only root, stores and deletes, and ends on SIGTERM',
  { skip: !process.env.CI && whyNoMount() },
  async (t) => {
    const folder = await makeFolder(t)
    const [app, root, node] = [join(folder, 'app'), join(folder, 'root'), join(folder, 'node')]
    const here = process.arch === 'arm64' ? 'arm64' : 'amd64'
    await writeImage(app, here)
    await mkdir(root)
    await mkdir(node)
    await run('cp', [process.execPath, join(node, 'node')])
    await mkdir(`${root}.data`)
    const [uid, gid] = user.split(':').map(Number)
    await chown(`${root}.data`, uid ?? 0, gid ?? 0)

    const environment = { ...settings, PATH: '/node', PORT: '0', HOST: '127.0.0.1' }
    const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
    const inContainer = (...argv: string[]) => [
      ...['--mount', '--propagation', 'private', 'sh', '-euc', CONTAINER, 'sh', root, app, user, node],
      ...['-i', ...assignments, ...argv],
    ]
    const server = spawn('unshare', inContainer(...command), { stdio: ['ignore', 'pipe', 'pipe'] })
    endWithUs(server)
    const ended = once(server, 'close')
    let output = ''
    for (const stream of [server.stdout, server.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
      })
    await until('it listens', () => /listening|^\S+: /m.test(output))
    const port = Number(/listening at http:\/\/127\.0\.0\.1:(\d+)/.exec(output)?.[1])
    t.ok(port > 0, output)
    const at = { port }

    const { pid } = server
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    t.match(status, new RegExp(`^Uid:(\\t${uid}){4}\nGid:(\\t${gid}){4}$`, 'm'), 'the user and the group')
    t.match(status, /^CapBnd:\t0+\n/m, 'no capabilities')
    t.match(await readFile(`/proc/${pid}/cmdline`, 'utf8'), command.join('\0'), 'the command of the image itself')
    const mounts = (await readFile(`/proc/${pid}/mountinfo`, 'utf8')).split('\n').map((line) => line.split(' '))
    const writable = mounts
      .filter(([, , , , , flags]) => flags?.split(',').includes('rw'))
      .map(([, , , , path]) => path)
    for (const path of ['/', '/app']) t.notOk(writable.includes(path), `${path} is read-only`)
    t.ok(writable.includes('/data'), '/data is not')

    const [file = '', ...args] = probe
    t.equal(file, 'node')
    await run(process.execPath, args, { env: { PORT: String(port) } })
    await t.rejects(run(process.execPath, args, { env: { PORT: '1' } }), 'the health check fails without a server')

    const story = await upload(at, await someImages(2))
    t.equal((await listImages(at)).length, 2)
    const [path = ''] = story.image_paths
    t.equal((await get(at, path)).status, 200)
    const variant = await get(at, `${path}?w=160&format=webp`)
    t.equal(variant.headers['content-type'], 'image/webp', 'sharp works')
    t.match((await get(at, '/')).body.toString(), '<html', 'the gallery is there')
    t.equal((await remove(at, `${IMAGES}/${story.story_id}`)).status, 200)
    t.equal((await listImages(at)).length, 0)
    t.notMatch(output, /cannot be locked/, 'fs-native-extensions works')

    server.kill('SIGTERM')
    t.same(await ended, [0, null], output)

    const { stdout } = await run('unshare', inContainer('node', 'dist/cli.js', '--version'))
    t.equal(stdout.trim(), JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')).version)
  },
)

t.test(
  'the image of each platform holds the bundle and the packages that are not in it, in locked versions',
  async (t) => {
    const folder = await makeFolder(t)
    const lock = JSON.parse(await readFile(join(ROOT, 'package-lock.json'), 'utf8')).packages
    for (const [platform, processor, machine] of [
      ['amd64', 'x64', 62],
      ['arm64', 'arm64', 183],
    ] as const) {
      const app = join(folder, platform)
      await writeImage(app, platform)
      t.same((await readdir(app)).sort(), ['dist', 'node_modules', 'package.json'])
      const packages = await packagesIn(app)
      for (const name of ['sharp', 'fs-native-extensions']) t.ok(packages.includes(name), name)
      t.same(
        // npm 10, which the image is not built with, installs one for WebAssembly too
        packages.filter((name) => /^@img\/sharp(?!-wasm32)/.test(name)),
        [`@img/sharp-libvips-linux-${processor}`, `@img/sharp-linux-${processor}`],
      )
      for (const name of packages) {
        const path = `node_modules/${name}`
        t.notOk(lock[path]?.dev, `${name} is no development dependency`)
        const { version } = JSON.parse(await readFile(join(app, path, 'package.json'), 'utf8'))
        t.equal(version, lock[path]?.version, name)
      }
      const library = join(app, `node_modules/@img/sharp-linux-${processor}/lib`)
      const name = (await readdir(library)).find((name) => name.endsWith('.node')) ?? ''
      const addon = await readFile(join(library, name))
      t.equal(addon.readUInt16LE(18), machine, 'the processor in the head of the ELF file')
      const { stdout } = await run('du', ['-s', '--apparent-size', '-B', '1000000', app])
      t.comment(`${platform}: ${stdout.split('\t')[0]} MB`)
    }
  },
)

t.test('a platform that has no image is refused', async (t) => {
  const folder = await makeFolder(t)
  await writeFile(join(folder, 'keep'), '')
  await t.rejects(writeImage(folder, 'riscv64'), /amd64 or arm64, not "riscv64"/)
  t.same(await readdir(folder), ['keep'])
})
