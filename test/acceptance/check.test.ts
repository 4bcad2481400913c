import { chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LifecycleRule } from '@aws-sdk/client-s3'
import t from 'tap'
import type { CheckedPoint } from '../../src/store/s3/check.ts'
import { engines, setLifecycle } from '../support/engines.ts'
import { examplesOf, run } from '../support/examples.ts'
import { sample } from '../support/extent.ts'
import type { Dialect } from '../support/s3-in-memory.ts'
import type { Match, Operation, S3StandIn, StoredObject } from '../support/s3-stand-in.ts'
import { CLI, runCommand } from './command.ts'
import { engineStore, standInStore, type TestStore } from './stores.ts'

t.jobs = 2

async function check({ environment }: Pick<TestStore, 'environment'>) {
  const { code, stdout, stderr } = await runCommand('check', ['--json'], environment)
  const lines = stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
  const points = lines.slice(0, -1) as CheckedPoint[]
  return {
    code,
    stderr,
    points,
    summary: lines.at(-1),
    of: (name: string) => points.find((point) => point.name === name),
  }
}

/** The one rule that a bucket should have. */
const RULE: LifecycleRule = {
  Status: 'Enabled',
  Filter: { Prefix: '' },
  AbortIncompleteMultipartUpload: { DaysAfterInitiation: 7 },
}

t.test('a bucket that does everything is found to, and nothing is left in it', async (t) => {
  const store = await standInStore(t)
  await setLifecycle(store.standIn, store.standIn.bucket, [RULE])
  await store.place('stories/of-others.txt', Buffer.from('x'))
  const { code, points, summary } = await check({ environment: { ...store.environment, S3_PREFIX: 'a/b/' } })
  t.equal(code, 0)
  t.same(summary, { usable: true, failed: 0, limited: 0, unknown: 0 })
  t.equal(points.length, 11)
  t.same(await store.content(), ['stories/of-others.txt'])
  t.ok(store.standIn.calls.every(({ key }) => key === '' || key.startsWith('a/b/idempotency/')))
  const { code: again, stdout } = await runCommand('check', [], store.environment)
  t.equal(again, 0)
  t.match(stdout, /^conditional put {11}ok {7}If-None-Match: \* is honoured$/m)
  t.match(stdout, /\nThe server can use this bucket\.\n$/)
})

t.test('what a bucket does not do is named, with what the server does without it', async (t) => {
  const dialects: [Dialect, Record<string, RegExp>][] = [
    [
      { ifNoneMatch: 'ignored', deleteObjects: 'md5', versioning: 'Enabled' },
      {
        'conditional put': /is ignored/,
        'conditional puts at once': /^of 12 puts 12 succeeded$/,
        versioning: /^Enabled, and prefixes of deleted objects are listed$/,
      },
    ],
    [
      { ifNoneMatch: 'refused', deleteObjects: 'missing', versioning: 'Suspended' },
      {
        'conditional put': /is refused: NotImplemented, status 501/,
        'conditional puts at once': /^of 12 puts 0 succeeded$/,
        'delete many': /not implemented/,
        versioning: /^Suspended/,
      },
    ],
  ]
  for (const [dialect, expected] of sample(dialects, 1)) {
    const store = await standInStore(t, { dialect })
    const { code, points, of } = await check(store)
    t.equal(code, 0, 'the server works with it')
    t.same(
      points.filter(({ result }) => result === 'limited').map(({ name }) => name),
      [...Object.keys(expected), 'lifecycle'],
    )
    for (const [name, found] of Object.entries(expected)) {
      t.match(of(name)?.found, found)
      t.ok(of(name)?.advice)
    }
    t.same(await store.content(), [])
  }
})

t.test('lifecycle rules have to remove parts of interrupted uploads, and must not expire objects', async (t) => {
  const cases: [LifecycleRule[], CheckedPoint['result'], found: string][] = [
    [[RULE], 'ok', 'enabled rules: 1'],
    [
      [{ ...RULE, Status: 'Disabled' }],
      'limited',
      'enabled rules: 0, none of which removes parts of interrupted uploads',
    ],
    [[{ ...RULE, Expiration: { Days: 30 } }], 'limited', 'enabled rules: 1, one of which expires objects'],
  ]
  for (const [rules, result, found] of sample(cases, 1)) {
    const { standIn, environment } = await standInStore(t)
    await setLifecycle(standIn, standIn.bucket, rules)
    const { code, of } = await check({ environment })
    t.equal(code, 0)
    t.match(of('lifecycle'), { result, found })
  }
})

t.test('the example of docs/stores.md prints what it shows', async (t) => {
  const store = await standInStore(t, { dialect: { ifNoneMatch: 'ignored' } })
  const bin = t.testdir({ 'story-images': `#!/bin/sh\nexec "${process.execPath}" "${CLI}" "$@"\n` })
  await chmod(join(bin, 'story-images'), 0o755)
  const { S3_ENDPOINT = '', S3_BUCKET = '' } = store.environment
  const example = (await examplesOf('docs/stores.md'))('check', {
    'https://s3.example.org': S3_ENDPOINT,
    'my-stories': S3_BUCKET,
  })
  const { code, stdout, stderr } = await run('sh', ['-ec', example], { env: { PATH: `${bin}:${process.env.PATH}` } })
  t.equal(code, 0, stderr)
  const document = await readFile(new URL('../../docs/stores.md', import.meta.url), 'utf8')
  const rows = stdout.split('\n\n')[0]?.split('\n') ?? []
  for (const row of rows) t.ok(document.includes(`\n${row}\n`), row)
  t.equal(rows.length, 11)
})

t.test('what a bucket can not be used for fails the check', async (t) => {
  const faults: [Match, name: string, found: RegExp][] = [
    [{ operation: 'CreateMultipartUpload' }, 'multipart', /^AccessDenied, status 403$/],
    [{ operation: 'GetObject' }, 'range', /^AccessDenied, status 403$/],
    [{ operation: 'PutObject' }, 'put, read, delete', /^AccessDenied, status 403$/],
  ]
  for (const [match, name, found] of sample(faults, 1)) {
    const store = await standInStore(t)
    store.standIn.fail(match, 'access-denied')
    const { code, of, summary } = await check(store)
    t.equal(code, 1)
    t.equal(summary.usable, false)
    t.match(of(name), { result: 'failed', found })
  }
})

/**
 * A promise that a bucket breaks: `change` alters the objects of one check before its nth call of the operation, and the check reports
 * `found`.
 */
type BrokenPromise = readonly [
  name: string,
  Operation,
  nth: number,
  change: (standIn: S3StandIn, below: string) => void,
  found: string,
]

const rewrite =
  (about: Partial<StoredObject>) =>
  ({ objects }: S3StandIn, below: string) => {
    for (const [key, object] of objects) if (key.startsWith(below)) objects.set(key, { ...object, ...about })
  }
const lose =
  (name: string) =>
  ({ objects }: S3StandIn, below: string) =>
    void objects.delete(below + name)
const bringBack = (name: string) => (standIn: S3StandIn, below: string) => standIn.place(below + name, 'x')

const BROKEN_PROMISES: readonly BrokenPromise[] = [
  ['put, read, delete', 'HeadObject', 1, rewrite({ metadata: {} }), 'metadata is not returned as it was put'],
  [
    'put, read, delete',
    'HeadObject',
    1,
    rewrite({ contentType: 'binary/octet-stream' }),
    'the content type is not returned as it was put',
  ],
  [
    'put, read, delete',
    'GetObject',
    2,
    rewrite({ body: Buffer.from('round 1') }),
    'a read after a write returned an older object',
  ],
  ['put, read, delete', 'ListObjectsV2', 1, lose('1.jpg'), 'a list after a write does not have the object'],
  ['put, read, delete', 'HeadObject', 2, bringBack('1.jpg'), 'a read after a deletion found the object'],
  ['put, read, delete', 'ListObjectsV2', 2, bringBack('1.jpg'), 'a list after a deletion has the object'],
  ['clock', 'HeadObject', 1, rewrite({ lastModified: new Date(0) }), 'seconds from the clock of this machine'],
  ['order of lists', 'ListObjectsV2', 1, lose('a0'), 'keys are missing, or not as they were put'],
  ['order of lists', 'ListObjectsV2', 2, lose('a/1'), 'start-after and max-keys are not followed'],
  ['order of lists', 'ListObjectsV2', 10, lose('a/1'), 'pages do not follow one another'],
  ['order of lists', 'ListObjectsV2', 13, lose('b/1'), 'common prefixes are wrong'],
  ['delete many', 'ListObjectsV2', 1, bringBack('1'), 'what was deleted is still listed'],
  ['multipart', 'GetObject', 1, rewrite({ body: Buffer.from('x') }), 'the bytes are not those that were put'],
  [
    'range',
    'GetObject',
    2,
    rewrite({ body: Buffer.from('other bytes') }),
    'a range of bytes is not what was asked for',
  ],
]

t.test('a promise that a bucket does not keep is named', async (t) => {
  // Each check has a prefix of its own, so a bucket may break one promise of each
  const groups: BrokenPromise[][] = []
  for (const broken of BROKEN_PROMISES) {
    const free = groups.find((group) => group.every(([name]) => name !== broken[0]))
    if (free) free.push(broken)
    else groups.push([broken])
  }
  for (const group of sample(groups, 1)) {
    const { standIn, environment } = await standInStore(t)
    const counts = new Map<string, number>()
    standIn.onCall = ({ operation, key }) => {
      for (const [name, brokenOperation, nth, change] of group) {
        const [below] = new RegExp(`^.*-check-[^/]*/${name.replaceAll(' ', '-')}/`).exec(key) ?? []
        if (operation !== brokenOperation || below === undefined) continue
        const count = (counts.get(name) ?? 0) + 1
        counts.set(name, count)
        if (count === nth) change(standIn, below)
      }
    }
    const { code, points } = await check({ environment })
    t.equal(code, 1)
    const failed = points.filter(({ result }) => result === 'failed')
    t.same(failed.map(({ name }) => name).sort(), group.map(([name]) => name).sort())
    for (const [name, , , , found] of group)
      t.match(failed.find((point) => point.name === name)?.found, found, `${name}: ${found}`)
  }
})

t.test('a store that is out of reach is the only thing that is told', async (t) => {
  const { environment } = await standInStore(t)
  // A port that was given up may soon be somebody else's
  const { code, points } = await check({ environment: { ...environment, S3_ENDPOINT: 'http://127.0.0.1:1' } })
  t.equal(code, 1)
  t.match(points, [{ name: 'list', result: 'failed', found: /ECONNREFUSED/ }])
})

t.test('without a bucket there is nothing to check', async (t) => {
  const { code, stdout, stderr } = await runCommand('check', [], {})
  t.equal(code, 2)
  t.equal(stdout, '')
  t.match(stderr, /S3_BUCKET is not set/)
})

for (const engine of engines) {
  t.test(`${engine.name} does all that the server needs`, async (t) => {
    const store = await engineStore(t, engine)
    const { code, points } = await check(store)
    t.equal(code, 0)
    t.same(
      points.filter(({ result }) => result !== 'ok').map(({ name }) => name),
      engine.versioning ? ['versioning', 'lifecycle'] : ['lifecycle'],
    )
    t.same(await store.content(), [])
  })
}
