import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { cp, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { restoreStory } from '../../src/stories/restore.ts'
import { storyStore } from '../../src/stories/story-store.ts'
import { Sweeper } from '../../src/stories/sweep.ts'
import { randomFrom } from '../support/random.ts'
import { BUGS, bugNamed, buildEdited } from './bugs.ts'
import { check, checkRemains, type Violation } from './check.ts'
import { Clients } from './clients.ts'
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts'
import type { Entry, Fault, History } from './history.ts'
import { runNemesis } from './nemesis.ts'
import { LOOK_SOON, runOtherSweeps } from './other-sweeps.ts'
import { Pictures } from './pictures.ts'
import { Replica } from './replica.ts'
import { openStorage, type Storage, type StorageName } from './storage.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const UPLOAD_TIMEOUT_MS = 8000
const HOUR_MS = 60 * 60_000

/** Short, so that much goes wrong in a minute. */
const SETTINGS = {
  UPLOAD_TIMEOUT: `${UPLOAD_TIMEOUT_MS}ms`,
  CLIENT_TIMEOUT: '2s',
  UPLOAD_WAIT: '2s',
  SWEEP_INTERVAL: '1s',
  SHUTDOWN_TIMEOUT: '5s',
  // The tag of each image comes after its end
  STRIP_METADATA: 'none',
  LOG_LEVEL: 'warn',
}

interface Run {
  readonly seconds: number
  readonly seed: number
  readonly store: StorageName
  readonly replicas: number
  readonly bug?: string | undefined
}

/** Runs clients and a nemesis against real servers, checks what the clients have seen, and returns the summary. */
async function torture({ seconds, seed, store, replicas: count, bug }: Run) {
  const random = randomFrom(seed)
  const folder = await mkdtemp(join(tmpdir(), 'story-images-tortured-'))
  await buildEdited(join(folder, 'dist'), [LOOK_SOON, ...(bug === undefined ? [] : bugNamed(bug).edits)])
  await cp(join(ROOT, 'package.json'), join(folder, 'package.json'))
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))

  const pictures = await Pictures.make()
  const storage = await openStorage(store)
  const proxies: FaultProxy[] = []
  const replicas: Replica[] = []
  const late: Entry[] = []
  const faults: Entry[] = []
  try {
    for (let index = 0; index < count; index++) {
      let environment: Record<string, string> = { ...SETTINGS, ...storage.environment }
      if (storage.access) {
        const proxy = await startFaultProxy(storage.access, randomFrom(seed * 1000 + index), (key) => {
          const [, id = '', name = ''] = key.split('/')
          const now = performance.now()
          late.push({ kind: 'late', id, name, start: now, end: now })
        })
        proxies.push(proxy)
        environment = { ...environment, S3_ENDPOINT: proxy.url, S3_TIMEOUT: '2s' }
      }
      replicas.push(await Replica.start(folder, environment))
    }
    const urls = replicas.map(({ url }) => url)
    const clients = new Clients({
      urls,
      pictures,
      random: randomFrom(seed + 1),
      // Without imported stories, which have any id, and without variants
      peek: async () => {
        const keys = await storage.keys(`stories/${firstIdAt(Date.now() - 3000)}`)
        const end = `stories/${firstIdAt(Date.now() + 1000)}`
        return keys.filter((key) => key < end)
      },
      async restore(id) {
        const store = await storage.open()
        try {
          await restoreStory(storyStore(store, HOUR_MS), id)
        } finally {
          await store.close()
        }
      },
    })
    const placed = await placeForeign(storage, pictures, clients, random)
    const controller = new AbortController()
    setMaxListeners(0, controller.signal)
    const timer = setTimeout(() => controller.abort(), seconds * 1000)
    const record = (fault: Fault) => void faults.push(fault)
    const [others] = await Promise.all([
      runOtherSweeps(folder, storage.environment, randomFrom(seed + 3), controller.signal, record),
      clients.run(controller.signal),
      runNemesis({ replicas, proxies, storage }, randomFrom(seed + 2), controller.signal, record),
    ]).finally(() => clearTimeout(timer))
    // A node that is killed takes a sweep with it
    if (!storage.node)
      clients.oddities.push(...others.failures.map((said) => `a sweep with another setting failed: ${said}`))

    const history: History = {
      wall: Date.now() - performance.now(),
      contents: clients.contents,
      entries: clients.entries,
    }
    await heal(replicas, proxies, storage)
    await placeStory(storage, pictures, clients, random)
    const listed = await readEverything(clients)
    for (const replica of replicas) await replica.kill()
    clients.entries.push(...late, ...faults)
    await clients.close()
    clients.oddities.push(...(await sweepAll(storage)))
    const keys = await storage.keys()

    const verdict = check(history)
    // A record that the store has written late, beside images that a deletion has not removed yet: no crash leaves that
    const isLate = (id: string) =>
      history.entries.some((entry) => entry.kind === 'late' && entry.id === id && entry.name.startsWith('0.'))
    // On a full store a deletion may begin with the images, and when it fails it leaves the record beside some of them
    const full = faults.filter((fault) => fault.kind === 'fault' && fault.what.includes('full'))
    const unfinished = history.entries.filter(
      (entry) =>
        (entry.kind === 'remove' || entry.kind === 'remove-all') &&
        entry.result !== 'done' &&
        full.some(({ start, end }) => entry.start <= end && entry.end >= start),
    )
    const isUnfinished = (id: string) =>
      keys.some((key) => key.startsWith(`stories/${id}/0.`) && key.endsWith('.claimed.json')) &&
      unfinished.some((entry) => entry.kind === 'remove-all' || (entry.kind === 'remove' && entry.id === id))
    const found = checkRemains({ keys, listed, placed: [...placed, ...sidecarsOf(keys)] })
    // The tombstone of such a story stays as long as anything of it does
    const isThere = (id: string) => keys.some((key) => key.startsWith(`stories/${id}/`))
    const remains = found.filter(
      ({ rule, id }) => !(rule === 'left over' && (isLate(id) || isUnfinished(id)) && isThere(id)),
    )
    verdict.excused += found.length - remains.length
    const violations: Violation[] = [
      ...verdict.violations,
      ...clients.oddities.map((what) => ({ rule: 'answer', what, entries: [] })),
      ...remains.map(({ rule, what, id }) => ({
        rule,
        what,
        entries: clients.entries.filter((entry) => 'id' in entry && entry.id === id).slice(-20),
      })),
    ]
    const uploads = clients.entries.filter((entry) => entry.kind === 'upload')
    return {
      summary: {
        store,
        replicas: count,
        seconds,
        seed,
        ...(bug !== undefined && { bug }),
        operations: clients.entries.filter(({ kind }) => kind !== 'fault' && kind !== 'late').length,
        outcomes: tally(clients.entries.filter(({ kind }) => kind !== 'fault').map(outcomeOf)),
        faults: tally([
          ...faults.map((fault) => (fault.kind === 'fault' ? fault.what : '')),
          ...proxies.flatMap(({ counts }) => [...counts].flatMap(([name, times]) => Array<string>(times).fill(name))),
        ]),
        otherSweeps: others.sweeps,
        keyed: uploads.filter(({ content }) => clients.contents.get(content)?.key !== undefined).length,
        acked: verdict.acked,
        verified: verdict.verified,
        unidentified: verdict.unidentified,
        excused: verdict.excused,
        images: clients.images,
        smaller: clients.smaller,
        bytes: clients.bytes,
        storiesLeft: listed.size,
        memory: `${Math.round(process.memoryUsage.rss() / 2 ** 20)} MiB`,
        violations: tally(violations.map(({ rule }) => rule)),
      },
      violations,
    }
  } catch (error) {
    for (const replica of replicas) console.error(replica.output)
    throw error
  } finally {
    for (const replica of replicas) await replica.kill()
    for (const proxy of proxies) await proxy.close()
    await storage.remove()
    await rm(folder, { recursive: true, force: true })
  }
}

/** Above every id of before this time, in milliseconds since 1970, and below the others. */
function firstIdAt(time: number): string {
  const digits = Math.floor(time).toString(16).padStart(12, '0')
  return `${digits.slice(0, 8)}-${digits.slice(8)}`
}

/** Puts what no sweep and no deletion may touch into the store; returns its keys. */
async function placeForeign(storage: Storage, pictures: Pictures, clients: Clients, random: () => number) {
  await placeStory(storage, pictures, clients, random)
  const { number } = pictures.draw(random)
  const image = Buffer.concat(pictures.pieces(number, 1))
  const copied = `${firstIdAt(Date.now() - 24 * HOUR_MS)}-7abc-8abc-${randomUUID().slice(24)}`
  const placed = [
    `stories/${copied}/1.jpg`,
    `stories/${copied}/2.jpg`,
    'stories/notes.txt',
    `stories/${copied.toUpperCase()}/1.jpg`,
    'elsewhere/1.jpg',
  ]
  for (const key of placed) await storage.place(key, image)
  return placed
}

/** Puts an imported story into the store. */
async function placeStory(storage: Storage, pictures: Pictures, clients: Clients, random: () => number): Promise<void> {
  const { number, names } = pictures.draw(random)
  const id = randomUUID()
  for (const [index, name] of names.split(',').entries()) {
    await storage.place(`stories/${id}/${name}`, Buffer.concat(pictures.pieces(number, index + 1)))
  }
  clients.placed(id, { number, names, imported: true })
}

/** Ends all faults, and lets what is on its way arrive. */
async function heal(replicas: readonly Replica[], proxies: readonly FaultProxy[], storage: Storage): Promise<void> {
  for (const replica of replicas) await replica.kill()
  for (const proxy of proxies) {
    proxy.weather = {}
    await proxy.idle()
  }
  // A store does not tell whether a call that was cut off is still at work: its keys have to stay the same for five seconds
  for (let same = 0, before = ''; proxies.length > 0 && same < 50; ) {
    await sleep(100)
    const keys = (await storage.keys()).join()
    same = keys === before ? same + 1 : 0
    before = keys
  }
  for (const replica of replicas) await replica.start()
}

/** Reads all there is; returns each story and the names of its images. */
async function readEverything(clients: Clients): Promise<Map<string, string>> {
  const { entries, oddities } = clients
  const begin = entries.length
  const list = await answered(async () => {
    await clients.list()
    return entries.slice(begin).find((entry) => entry.kind === 'list')
  })
  const stories = new Map((list?.ids ?? []).map((id, index) => [id, list?.names?.[index] ?? '']))
  if (!list) oddities.push('at the end the list could not be read')
  const ids = await answered(async () => {
    await clients.listIds()
    return entries.slice(begin).find((entry) => entry.kind === 'list' && entry.names === undefined)
  })
  if (!ids) oddities.push('at the end the list of ids could not be read')
  for (const [id, names] of stories) {
    const story = await answered(() => clients.story(id))
    if (story?.names !== names) oddities.push(`at the end the story ${id} is ${story?.names}, and ${names} in the list`)
    for (const name of names.split(',')) {
      const image = await answered(() => clients.image(id, name))
      if (!image?.found) oddities.push(`at the end the image ${name} of the story ${id} can't be read`)
    }
  }
  return stories
}

/** A busy machine can be too slow for the short timeouts. */
async function answered<T>(read: () => Promise<T | undefined>): Promise<T | undefined> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const answer = await read()
    if (answer !== undefined) return answer
    await sleep(500)
  }
  return undefined
}

/** Sweeps as if it were hours later: nothing runs any more. Returns what went wrong. */
async function sweepAll(storage: Storage): Promise<string[]> {
  const store = await storage.open()
  try {
    let left = 0
    for (let hours = 2; hours < 8; hours++) {
      const sweeper = new Sweeper(storyStore(store, UPLOAD_TIMEOUT_MS), () => Date.now() + hours * HOUR_MS)
      left = (await sweeper.sweep()).left
      // Once more, for what the one before has only made out; a node that has just come back may take its time
      if (left === 0 && hours > 2) return []
      if (left > 0) await sleep(2000)
    }
    return [`sweeps could not remove ${left} keys`]
  } catch (error) {
    return [`a sweep failed: ${error} because of ${error instanceof Error ? error.cause : ''}`]
  } finally {
    await store.close()
  }
}

/** The hidden files of the disk store beside objects that are there. */
function sidecarsOf(keys: readonly string[]): string[] {
  const there = new Set(keys)
  return keys.filter((key) => {
    const [, folder = '', name] = /^(.*\/)\.([^/]+)\.json$/.exec(key) ?? []
    return name !== undefined && there.has(folder + name)
  })
}

function outcomeOf(entry: Entry): string {
  switch (entry.kind) {
    case 'upload':
      return `upload ${entry.result}${entry.result === 'refused' ? ` ${entry.status}` : ''}`
    case 'list':
      return `${entry.names ? 'list' : 'ids'}${(entry.after ?? entry.upTo) ? ' page' : ''}`
    case 'story':
      return entry.names === undefined ? 'story absent' : 'story'
    case 'image':
      return entry.found ? 'image' : 'image absent'
    case 'late':
    case 'fault':
      return entry.kind
    default:
      return `${entry.kind} ${entry.result}`
  }
}

function tally(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names.toSorted()) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

/** A history entry on one line, its times in seconds. */
function lineOf(entry: Entry): string {
  const { kind, start, end, ...rest } = entry
  return `    ${(start / 1000).toFixed(3)} to ${(end / 1000).toFixed(3)}  ${kind} ${JSON.stringify(rest)}`
}

/** Violations of each rule that are told. */
const TOLD = 5

async function runOnce(run: Run): Promise<number> {
  const { summary, violations } = await torture(run)
  const told = new Map<string, number>()
  for (const { rule, what, entries } of violations) {
    const count = (told.get(rule) ?? 0) + 1
    told.set(rule, count)
    if (count > TOLD) continue
    console.log(`VIOLATION (${rule}): ${what}`)
    for (const entry of entries) console.log(lineOf(entry))
  }
  console.log(JSON.stringify(summary))
  return violations.length
}

/** Runs each bug for itself until it was reported; true when each was. */
async function runBugs(seconds: number, seed: number): Promise<boolean> {
  const missed: string[] = []
  for (const [name, { store, rule }] of Object.entries(BUGS)) {
    const args = [...process.execArgv, fileURLToPath(import.meta.url), '--bug', name, '--store', store]
    const run = promisify(execFile)(process.execPath, [...args, '--seconds', `${seconds}`, '--seed', `${seed}`], OUTPUT)
    // It ends with 1 when there are violations
    const { stdout } = await run.catch((error: { stdout: string; code: unknown }) => {
      if (error.code !== 1 || !error.stdout.includes('"violations":')) throw error
      return error
    })
    const found = stdout.split('\n').find((line) => line.startsWith(`VIOLATION (${rule}): `))
    console.log(`${name}, on ${store}: ${found ?? 'NOT REPORTED'}`)
    if (found === undefined) missed.push(name)
  }
  return missed.length === 0
}

/** Of one run, at most. */
const OUTPUT = { maxBuffer: 2 ** 26 }

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    store: { type: 'string', default: 'disk' },
    replicas: { type: 'string', default: '1' },
    bug: { type: 'string' },
    bugs: { type: 'boolean', default: false },
  },
})
if (values.store === 'disk' && values.replicas !== '1')
  throw new Error('The disk store is for one server: --replicas 1')
const seconds = Number(values.seconds)
const seed = Number(values.seed)
const isFine = values.bugs
  ? await runBugs(seconds, seed)
  : (await runOnce({
      seconds,
      seed,
      store: values.store as StorageName,
      replicas: Number(values.replicas),
      bug: values.bug,
    })) === 0
process.exit(isFine ? 0 : 1)
