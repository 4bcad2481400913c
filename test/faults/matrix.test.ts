import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import {
  eventually,
  INTERNALS,
  isDetail,
  placeStory,
  smallImage,
  startApp,
  storyId,
  type Teardown,
  type TestApp,
} from '../support/app.ts'
import { sample } from '../support/extent.ts'
import { bigImage } from '../support/images.ts'
import { PATIENCE } from '../support/patience.ts'
import type { Dialect } from '../support/s3-in-memory.ts'
import { type Fault, type Match, type Operation, type S3StandIn, startS3StandIn } from '../support/s3-stand-in.ts'

/**
 * Each fault of the store in each call of each endpoint, once and for as long as it takes. What has to come of it is not
 * written down 700 times but follows from the rules in `expectedStatus`.
 */

/** Store timeout in cells that stall, in milliseconds. Each of the three tries waits for it. */
const STALL_TIMEOUT = 2000
/** Store timeout in all other cells, in milliseconds. */
const TIMEOUT = 60_000
/** Servers that go through the cells of one timeout side by side, each with a store of its own. */
const LANES = 16
/** After so many cells a lane starts anew, since a client of the SDK that met many faults retries no more. */
const CELLS_PER_APP = 10

type NamedFault = Extract<Fault, string> | 'stopped'

const FAULTS: readonly NamedFault[] = [
  'stopped',
  'status-500',
  'status-503',
  'reset',
  'reset-mid-request-body',
  'reset-mid-response-body',
  'stall',
  'stall-mid-body',
  'answer-lost',
  'access-denied',
  'storage-full',
  'error-in-200',
  'per-key-error',
]

/** What the SDK takes for final and does not repeat, and what is answered. */
const LASTING: Partial<Record<NamedFault, number>> = { 'access-denied': 500, 'storage-full': 507, 'per-key-error': 500 }

/** The calls whose answers are XML: only there S3 can put an error into a 200. */
const XML: readonly Operation[] = [
  'CreateMultipartUpload',
  'CompleteMultipartUpload',
  'ListObjectsV2',
  'ListObjectVersions',
  'DeleteObjects',
]

/** The calls that are tried on the fast path first. Whatever comes of that try but a success, the SDK makes the call again. */
const FAST_PATH: readonly Operation[] = ['PutObject', 'GetObject', 'HeadObject', 'ListObjectsV2']

/** What the fault comes to for a client that sees only the answer. */
const appliesTo = (fault: NamedFault, { operation }: Match) => {
  if (fault === 'per-key-error') return operation === 'DeleteObjects'
  if (fault === 'error-in-200') return operation !== undefined && XML.includes(operation)
  return true
}

interface Answer {
  /** 0 for a connection that broke in the middle of an answer */
  readonly status: number
  readonly headers: Headers
  readonly body: Buffer
}

interface Ground {
  readonly server: TestApp
  readonly standIn: S3StandIn
  readonly image: Buffer
  readonly large: Buffer
}

interface Scenario {
  readonly name: string
  /** The call that fails. */
  readonly match: Match
  readonly prepare?: (ground: Ground) => void
  readonly act: (ground: Ground) => Promise<Answer>
  /** Status while the call works in the end; 200 unless given. */
  readonly healed?: number
  /** Status when the call fails for good; unless given it follows from the fault. */
  readonly failed?: (fault: NamedFault) => number | readonly number[]
  /** Statuses of which any will do when the store breaks off in the middle of an answer's body. */
  readonly brokenOff?: readonly number[]
  /** Those of a restore are tried on a bucket with versioning. */
  readonly kind: 'upload' | 'read' | 'delete' | 'restore'
}

const upload = (images: (ground: Ground) => readonly Buffer[]) => (ground: Ground) => {
  const form = new FormData()
  for (const bytes of images(ground)) form.append('files', new Blob([Uint8Array.from(bytes)]), 'a.png')
  return send(ground, '/api/v1/images/upload', { method: 'POST', body: form })
}
const two = upload(({ image }) => [image, image])
const large = upload(({ large: bytes }) => [bytes])
const get =
  (path: string, headers: Record<string, string> = {}) =>
  (ground: Ground) =>
    send(ground, path, { headers })
const remove = (path: string) => (ground: Ground) => send(ground, path, { method: 'DELETE' })

async function send({ server }: Ground, path: string, init: RequestInit): Promise<Answer> {
  const response = await fetch(server.url + path, { ...init, signal: AbortSignal.timeout(PATIENCE) })
  try {
    const body = Buffer.from(await response.arrayBuffer())
    return { status: response.status, headers: response.headers, body }
  } catch (error) {
    if (error instanceof Error && error.name === 'TimeoutError') throw error
    return { status: 0, headers: response.headers, body: Buffer.alloc(0) }
  }
}

const stories = ({ standIn, image }: Ground) => {
  for (let n = 1; n <= 3; n++) placeStory(standIn, storyId(n), image, 2)
}
const THERE = storyId(2)
const IMAGE = `/images/stories/${THERE}/1.png`
const RESTORE = `/api/v1/images/${THERE}/restore`
const record = /\/0\.\d+\.json$/
const pictures = /\/[1-9]\d*\.png$/
const tombstone = /\/-deleting\//
const restore = (ground: Ground) => send(ground, RESTORE, { method: 'POST' })
const deletedStory = (ground: Ground) => {
  stories(ground)
  const { objects, deleted } = ground.standIn
  for (const [key, object] of objects) {
    if (!key.includes(THERE)) continue
    objects.delete(key)
    deleted.set(key, { time: new Date(), object })
  }
}
/** A fault that stands beside the one of the cell. */
const also =
  (...faults: readonly (readonly [Match, Fault])[]) =>
  ({ standIn }: Ground) => {
    for (const [match, fault] of faults) standIn.fail(match, fault)
  }

const SCENARIOS: readonly Scenario[] = [
  ...(
    [
      ['upload: PutObject of image 1', { operation: 'PutObject', key: /\/1\.png$/ }, two],
      ['upload: PutObject of image 2', { operation: 'PutObject', key: /\/2\.png$/ }, two],
      ['upload: CreateMultipartUpload', { operation: 'CreateMultipartUpload' }, large],
      ['upload: UploadPart', { operation: 'UploadPart' }, large],
    ] as const
  ).map(([name, match, act]): Scenario => ({ name, match, act, kind: 'upload' })),
  {
    name: 'upload: CompleteMultipartUpload',
    match: { operation: 'CompleteMultipartUpload' },
    act: large,
    // The repetition meets its own first try: half of a 404
    failed: (fault) => (MID_BODY.includes(fault) ? [500, 503] : statusOf(fault)),
    kind: 'upload',
  },
  {
    name: 'upload: PutObject of the record',
    match: { operation: 'PutObject', key: record },
    act: two,
    // The record is there, and is found
    failed: (fault) => (fault === 'stopped' ? 503 : CARRIED_OUT.includes(fault) ? 200 : statusOf(fault)),
    kind: 'upload',
  },
  {
    name: 'upload: DeleteObjects of the images of a failed upload',
    match: { operation: 'DeleteObjects' },
    prepare: also([{ operation: 'PutObject', key: /\/2\.png$/ }, 'access-denied']),
    act: two,
    healed: 500,
    failed: () => 500,
    kind: 'upload',
  },
  {
    name: 'upload: HeadObject of a record that is not there',
    match: { operation: 'HeadObject' },
    prepare: also([{ operation: 'PutObject', key: record }, 'access-denied']),
    act: two,
    healed: 500,
    // With the store gone the record cannot be deleted either, and the outcome is unknown
    failed: (fault) => (fault === 'stopped' ? 503 : 500),
    kind: 'upload',
  },
  {
    name: 'upload: HeadObject of a record that is there',
    match: { operation: 'HeadObject' },
    prepare: also([{ operation: 'PutObject', key: record }, 'answer-lost']),
    act: two,
    failed: () => 503,
    kind: 'upload',
  },
  {
    name: 'upload: DeleteObjects of a record that is there',
    match: { operation: 'DeleteObjects', key: record },
    prepare: also([{ operation: 'PutObject', key: record }, 'answer-lost'], [{ operation: 'HeadObject' }, 'reset']),
    act: two,
    healed: 503,
    failed: () => 503,
    kind: 'upload',
  },
  ...['/api/v1/images', '/api/v1/images/story-ids'].flatMap((path): Scenario[] => [
    {
      name: `GET ${path}: first page`,
      match: { operation: 'ListObjectsV2' },
      prepare: stories,
      act: get(path),
      kind: 'read',
    },
    {
      name: `GET ${path}: second page`,
      match: { operation: 'ListObjectsV2', nth: 2 },
      prepare: stories,
      act: get(path),
      failed: () => 0,
      kind: 'read',
    },
  ]),
  {
    name: 'GET /api/v1/images?limit=2: second page',
    match: { operation: 'ListObjectsV2', nth: 2 },
    prepare: stories,
    act: get('/api/v1/images?limit=2'),
    kind: 'read',
  },
  {
    name: 'GET /api/v1/images?limit=1: a page that is read ahead in vain',
    match: { operation: 'ListObjectsV2', nth: 4 },
    prepare: (ground) => {
      stories(ground)
      placeStory(ground.standIn, storyId(4), ground.image, 2)
    },
    act: get('/api/v1/images?limit=1'),
    failed: () => 200,
    kind: 'read',
  },
  {
    name: 'GET a story',
    match: { operation: 'ListObjectsV2' },
    prepare: stories,
    act: get(`/api/v1/images/${THERE}`),
    kind: 'read',
  },
  {
    name: 'GET an image: GetObject',
    match: { operation: 'GetObject' },
    prepare: stories,
    act: get(IMAGE),
    brokenOff: [0],
    kind: 'read',
  },
  {
    name: 'GET a range of an image: GetObject',
    match: { operation: 'GetObject' },
    prepare: stories,
    act: get(IMAGE, { range: 'bytes=10-29' }),
    healed: 206,
    brokenOff: [0],
    kind: 'read',
  },
  {
    name: 'conditional GET of an image: HeadObject',
    match: { operation: 'HeadObject' },
    prepare: stories,
    act: get(IMAGE, { 'if-modified-since': new Date(Date.now() + 3_600_000).toUTCString() }),
    healed: 304,
    kind: 'read',
  },
  {
    name: 'HEAD of an image: HeadObject',
    match: { operation: 'HeadObject' },
    prepare: stories,
    act: (ground) => send(ground, IMAGE, { method: 'HEAD' }),
    kind: 'read',
  },
  ...[`/api/v1/images/${THERE}`, '/api/v1/images'].flatMap((path): Scenario[] =>
    (
      [
        ['list', { operation: 'ListObjectsV2' }],
        ['DeleteObjects of records', { operation: 'DeleteObjects', key: record }],
        ['DeleteObjects of images', { operation: 'DeleteObjects', key: pictures }],
      ] as const
    ).map(([name, match]) => ({
      name: `DELETE ${path.replace(THERE, '{story_id}')}: ${name}`,
      match,
      prepare: stories,
      act: remove(path),
      kind: 'delete',
    })),
  ),
  ...(
    [
      ['the first list', { operation: 'ListObjectsV2' }],
      ['the list after the tombstone', { operation: 'ListObjectsV2', key: tombstone, nth: 2 }],
      ['ListObjectVersions', { operation: 'ListObjectVersions' }],
      ['PutObject of the tombstone', { operation: 'PutObject' }],
      ['DeleteObjects of the markers of images', { operation: 'DeleteObjects', key: pictures }],
      ['DeleteObjects of the marker of the record', { operation: 'DeleteObjects', key: record }],
      ['DeleteObjects of the tombstone', { operation: 'DeleteObjects', key: tombstone }],
    ] as const
  ).map(
    ([name, match]): Scenario => ({
      name: `POST ${RESTORE.replace(THERE, '{story_id}')}: ${name}`,
      match,
      prepare: deletedStory,
      act: restore,
      kind: 'restore',
    }),
  ),
]

/** Faults after which a PutObject is there all the same. */
const CARRIED_OUT: readonly NamedFault[] = ['answer-lost', 'reset-mid-response-body', 'stall-mid-body']
const MID_BODY: readonly NamedFault[] = ['reset-mid-response-body', 'stall-mid-body']

const statusOf = (fault: NamedFault): number => LASTING[fault] ?? 503

/** The statuses of which one has to come. */
function expectedStatus(
  { match, healed = 200, failed = statusOf, brokenOff }: Scenario,
  fault: NamedFault,
  once: boolean,
) {
  if (brokenOff && MID_BODY.includes(fault)) return brokenOff
  const failure = [failed(fault)].flat()
  if (!once) return failure
  if (match.operation && FAST_PATH.includes(match.operation)) return [healed]
  if (LASTING[fault]) return failure
  // Half of an answer that is read whole: the SDK may begin anew or give up
  return MID_BODY.includes(fault) ? [healed, ...failure] : [healed]
}

interface Cell {
  readonly scenario: Scenario
  readonly fault: NamedFault
  readonly once: boolean
}

// The scenarios in turn, so that those with large images do not meet
const cells: Cell[] = FAULTS.flatMap((fault) =>
  [true, false].flatMap((once) =>
    SCENARIOS.filter(({ match }) => appliesTo(fault, match)).map((scenario) => ({ scenario, fault, once })),
  ),
)

function arm(standIn: S3StandIn, { match }: Scenario, fault: NamedFault, once: boolean): void {
  if (fault !== 'stopped') {
    standIn.fail(match, fault, once ? 1 : Number.POSITIVE_INFINITY)
    return
  }
  let seen = 0
  standIn.onCall = async (call) => {
    if (match.operation !== call.operation || (match.key && !call.keys.some((key) => match.key?.test(key)))) return
    seen++
    if (seen !== (match.nth ?? 1)) return
    await standIn.stop()
    if (once) await standIn.start()
  }
}

/** Runs one cell; returns what is wrong. */
async function run(ground: Ground, { scenario, fault, once }: Cell): Promise<string[]> {
  const wrong: string[] = []
  const check = (isRight: boolean, what: string) => void (isRight || wrong.push(what))
  const { standIn } = ground
  standIn.objects.clear()
  standIn.deleted.clear()
  scenario.prepare?.(ground)
  arm(standIn, scenario, fault, once)
  const firstCall = standIn.calls.length
  const start = Date.now()
  const answer = await scenario.act(ground)
  const took = Date.now() - start

  // The answer
  const expected = expectedStatus(scenario, fault, once)
  const { status } = answer
  const text = answer.body.toString()
  check(expected.includes(status), `answers ${status} and not ${expected.join(' or ')} (${text.slice(0, 200)})`)
  check(took < PATIENCE, `takes ${took} ms`)
  const { operation, key, nth = 1 } = scenario.match
  const isMade = () => {
    const calls = standIn.calls.slice(firstCall).filter((call) => call.operation === operation)
    return calls.filter(({ keys }) => keys.some((of) => key?.test(of) ?? true)).length >= nth
  }
  // A call that nobody waits for may come after the response
  check(await eventually(isMade), 'never makes the call')
  if (status >= 400 && text !== '') {
    check(isDetail(text), `has the body ${text.slice(0, 200)}`)
    // An error may name the permission that the operator of the server has to grant
    check(!INTERNALS.test(text.replace('s3:ListBucketVersions', '')), `tells internals: ${text}`)
    check(answer.headers.get('content-type') === 'application/json; charset=utf-8', 'is not JSON')
    check(answer.headers.get('cache-control') === 'no-store', 'may be cached')
    check(answer.headers.get('etag') === null, 'has the ETag of an image')
  }
  if (status >= 400) {
    check((answer.headers.get('retry-after') !== null) === (status === 503 || status === 507), 'Retry-After')
  }

  // What the store is left with
  standIn.clearFaults()
  standIn.onCall = undefined
  await standIn.start()
  check(
    await eventually(() => standIn.runningRequests === 0),
    `leaves ${standIn.runningRequests} requests to the store running`,
  )
  const listed = await look(ground)
  wrong.push(...listed.wrong)
  if (scenario.kind === 'upload') {
    const ids = [...listed.stories.keys()]
    if (status === 200) {
      const { story_id, image_paths } = JSON.parse(text)
      check(ids.join() === story_id, `lists ${ids.length} stories after an answered upload`)
      check(String(listed.stories.get(story_id)) === String(image_paths), 'lists other images than it answered')
    } else {
      const isUnknown = /outcome is unknown/.test(text)
      check(ids.length === 0 || isUnknown, 'lists an upload that was answered with an error')
    }
    if (status === 200 || scenario.match.operation !== 'DeleteObjects') {
      check(status === 200 || fault === 'stopped' || standIn.objects.size <= 3, 'leaves objects')
    }
  }
  if (scenario.kind === 'delete') {
    const path = /^DELETE (\S+):/.exec(scenario.name)?.[1]?.replace('{story_id}', THERE) ?? ''
    if (status === 200) {
      check(!listed.stories.has(THERE), 'lists a deleted story')
      check(![...standIn.objects.keys()].some((key) => key.includes(THERE)), 'leaves objects of a deleted story')
    }
    const again = await remove(path)(ground)
    check(again.status === 200 || (again.status === 404 && path !== '/api/v1/images'), `repeated: ${again.status}`)
    check(![...standIn.objects.keys()].some((key) => key.includes(THERE)), 'leaves objects after a repetition')
  }
  if (scenario.kind === 'restore') {
    const isWhole = listed.stories.get(THERE)?.length === 2
    check(isWhole || !listed.stories.has(THERE), 'lists a part of a restored story')
    check(isWhole || status !== 200, 'does not list a restored story')
    const again = await restore(ground)
    check(again.status === 200, `repeated: ${again.status} ${again.body}`)
    check((await look(ground)).stories.get(THERE)?.length === 2, 'does not list the story after a repetition')
    check(standIn.objects.size === 9, `has ${standIn.objects.size} objects after a repetition`)
  }
  check((await get('/livez')(ground)).status === 200, 'does not answer any more')
  return wrong.map((what) => `${scenario.name}, ${fault} ${once ? 'once' : 'always'}: ${what}`)
}

/** What readers see: the lists, each story, each image. */
async function look(ground: Ground): Promise<{ stories: Map<string, string[]>; wrong: string[] }> {
  const wrong: string[] = []
  const stories = new Map<string, string[]>()
  const json = async (path: string) => JSON.parse((await get(path)(ground)).body.toString())
  for (const { story_id, path } of await json('/api/v1/images')) {
    stories.set(story_id, [...(stories.get(story_id) ?? []), path])
  }
  const ids = await json('/api/v1/images/story-ids')
  if (String(ids) !== String([...stories.keys()])) wrong.push(`lists ids ${ids} and stories ${[...stories.keys()]}`)
  for (const [id, paths] of stories) {
    const story: { path: string }[] = await json(`/api/v1/images/${id}`)
    if (String(story.map(({ path }) => path)) !== String(paths)) wrong.push(`shows story ${id} in two ways`)
    for (const path of paths) {
      const { body } = await get(path)(ground)
      if (!body.equals(ground.image) && !body.equals(ground.large)) wrong.push(`lists ${path}, which is damaged`)
    }
  }
  return { stories, wrong }
}

t.test('a fault of the store in any call is answered as documented and leaves no part of a story', async (t) => {
  const unhandled: unknown[] = []
  const onUnhandled = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', onUnhandled)
  t.teardown(() => process.off('unhandledRejection', onUnhandled))

  const image = await smallImage()
  const big = await bigImage(6 * 1024 * 1024)
  const only = process.env.TEST_FAULT
  const wanted = cells.filter(
    ({ scenario, fault, once }) => !only || `${scenario.name}, ${fault} ${once ? 'once' : 'always'}`.includes(only),
  )
  const chosen = sample(wanted, 27)
  const count = chosen.length
  const isRestore = ({ scenario }: Cell) => scenario.kind === 'restore'
  const stalls = ({ fault }: Cell) => fault === 'stall' || fault === 'stall-mid-body'
  t.not(count, 0, 'there are such faults')
  const results = new Map<Scenario, string[]>()
  const leaks: string[] = []

  const lane = async (queue: Cell[], timeout: number, dialect: Dialect) => {
    while (queue.length > 0) {
      const standIn = await startS3StandIn({ pageSize: 3, dialect })
      const closers: (() => unknown)[] = []
      const scope: Teardown = { teardown: (close) => void closers.push(close) }
      const server = await startApp(scope, { S3_TIMEOUT: `${timeout}ms` }, standIn)
      for (let n = 0; n < CELLS_PER_APP; n++) {
        const cell = queue.shift()
        if (!cell) break
        const wrong = await run({ server, standIn, image, large: big }, cell).catch((error) => [
          `${cell.scenario.name}, ${cell.fault} ${cell.once ? 'once' : 'always'}: ${error}`,
        ])
        results.set(cell.scenario, [...(results.get(cell.scenario) ?? []), ...wrong])
        // What hangs would be taken for a fault of the next cell
        if (wrong.length > 0) break
      }
      if (standIn.openConnections > 12)
        leaks.push(`${standIn.openConnections} connections are open after ${CELLS_PER_APP} cells`)
      for (const close of closers) await close()
      if (!(await eventually(() => standIn.openConnections === 0))) {
        leaks.push(`${standIn.openConnections} connections outlive the store`)
      }
      await standIn.close()
    }
  }
  // Cells that stall use little processor time, and do not run beside the other ones
  for (const timeout of [TIMEOUT, STALL_TIMEOUT]) {
    for (const dialect of [{}, { versioning: 'Enabled' }] as const) {
      const queue = chosen.filter(
        (cell) => stalls(cell) === (timeout === STALL_TIMEOUT) && isRestore(cell) === 'versioning' in dialect,
      )
      await Promise.all(Array.from({ length: Math.min(LANES, queue.length) }, () => lane(queue, timeout, dialect)))
    }
  }
  // What is late shows itself now
  await sleep(100)

  t.comment(`${count} of ${cells.length} cells`)
  for (const [{ name }, wrong] of results) t.equal(wrong.join('\n'), '', name)
  t.same(leaks, [], 'no connection is leaked')
  t.same(unhandled, [], 'no rejection is unhandled')
})
