import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { preProcessFile } from 'typescript'

const SRC = fileURLToPath(new URL('../src/', import.meta.url))

/** The files and folders of `src/`, from the top down. What stands in one row may not import each other. */
const FLOORS = [
  ['cli'],
  ['main'],
  ['app'],
  ['http'],
  ['stories'],
  ['variants', 'cdn'],
  ['layout'],
  ['store'],
  ['images', 'telemetry'],
  ['io'],
  ['errors', 'config', 'version'],
]

/** Packages that only some of them may know. */
const OWNERS: Readonly<Record<string, readonly string[]>> = {
  fastify: ['main', 'app', 'http'],
  'node:http': ['http', 'store/s3', 'io/stall.ts'],
  '@aws-sdk/client-s3': ['store/s3', 'cdn/cloudfront.ts'],
  undici: ['store/s3'],
  sharp: ['variants'],
  commander: ['cli'],
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' })
  .map((path) => path.split(sep).join('/'))
  .filter((path) => /\.(ts|js)$/.test(path) && !path.endsWith('.d.ts'))

const importsOf = new Map(
  files.map((path) => [
    path,
    preProcessFile(readFileSync(join(SRC, path), 'utf8'), true, true).importedFiles.map(({ fileName }) =>
      fileName.startsWith('.') ? relative('/', join('/', dirname(path), fileName)) : fileName,
    ),
  ]),
)

const placeOf = (path: string) => path.split('/')[0]?.replace(/\.ts$/, '') ?? ''
const floorOf = (path: string) => FLOORS.findIndex((floor) => floor.includes(placeOf(path)))

t.test('every file of src/ is on a floor of the house', async (t) => {
  t.same(
    files.filter((path) => floorOf(path) < 0),
    [],
  )
})

t.test('no import goes up, or across a floor', async (t) => {
  const wrong: string[] = []
  for (const [path, imports] of importsOf) {
    for (const target of imports.filter((name) => importsOf.has(name))) {
      if (placeOf(target) === placeOf(path) || floorOf(target) > floorOf(path)) continue
      wrong.push(`${path} imports ${target}`)
    }
  }
  t.same(wrong, [])
})

t.test('no file imports itself by way of others', async (t) => {
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(' → '))
    if (way.includes(path) || done.has(path)) return
    for (const target of importsOf.get(path) ?? []) visit(target, [...way, path])
    done.add(path)
  }
  for (const path of files) visit(path, [])
  t.same(circles, [])
})

t.test('HTTP, S3, images and the command line are each known in one place', async (t) => {
  const wrong: string[] = []
  for (const [path, imports] of importsOf) {
    for (const name of imports) {
      const owners = OWNERS[name]
      if (owners && !owners.some((owner) => path.startsWith(owner))) wrong.push(`${path} imports ${name}`)
    }
  }
  t.same(wrong, [])
})
