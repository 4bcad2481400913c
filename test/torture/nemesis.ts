import { setTimeout as sleep } from 'node:timers/promises'
import { chance, oneOf, shuffled } from '../support/random.ts'
import type { FaultProxy, Weather } from './fault-proxy.ts'
import type { Fault } from './history.ts'
import type { Replica } from './replica.ts'
import type { Storage } from './storage.ts'

/** Between storms a call fails now and then, and lists come in small pages. */
const CALM: Weather = {
  short: 0.3,
  partial: 0.4,
  lose: 0.005,
  lie: 0.005,
  error: 0.01,
  delay: 0.01,
  late: 0.01,
  cut: 0.003,
}

const STORMS: Readonly<Record<string, Weather>> = {
  outage: { refuse: 1 },
  errors: { error: 0.3, 'slow down': 0.3 },
  losses: { lose: 0.25, lie: 0.15, truncate: 0.1, cut: 0.1 },
  slowness: { delay: 0.3, late: 0.2, stall: 0.1 },
  'partial deletions': { partial: 0.6, lose: 0.1 },
  'lost records': { lose: 0.3, refuse: 0.4 },
  full: { full: 1 },
  'full, mostly': { full: 0.8, lose: 0.1, cut: 0.05 },
  everything: {
    refuse: 0.08,
    cut: 0.05,
    error: 0.08,
    lose: 0.08,
    lie: 0.05,
    truncate: 0.05,
    stall: 0.03,
    late: 0.08,
    short: 0.1,
  },
}

interface Targets {
  readonly replicas: readonly Replica[]
  /** One in front of the store for each replica; none for the disk store. */
  readonly proxies: readonly FaultProxy[]
  readonly storage: Storage
}

/** Faults in an order that the seed gives, one after another, until the signal; then everything is well again. */
export async function runNemesis(
  { replicas, proxies, storage }: Targets,
  random: () => number,
  signal: AbortSignal,
  record: (fault: Fault) => void,
): Promise<void> {
  const pause = (from: number, to: number) =>
    sleep(from + (to - from) * random(), undefined, { signal }).catch(() => {})

  async function kill(): Promise<string> {
    const replica = oneOf(replicas, random)
    await replica.kill()
    await pause(0, 500)
    await replica.start()
    return 'kill'
  }

  async function stop(): Promise<string> {
    await oneOf(replicas, random).pause(500 + 2500 * random())
    return 'pause'
  }

  async function storm(): Promise<string> {
    const name = oneOf(Object.keys(STORMS), random)
    // Of several replicas some may be cut off
    const some = proxies.filter(() => proxies.length === 1 || chance(0.7, random))
    for (const proxy of some) proxy.weather = STORMS[name] ?? {}
    await pause(500, 2000)
    for (const proxy of some) proxy.weather = CALM
    return `storm: ${name}`
  }

  /** A full disk. What is deleted makes room, or others take it at once. */
  async function fill(): Promise<string> {
    const { room } = storage
    const isContended = chance(0.5, random)
    const timer = new AbortController()
    const end = pause(1000, 4000).then(() => timer.abort())
    try {
      do {
        await room?.take()
        await sleep(10)
      } while (isContended && !timer.signal.aborted)
      await end
    } finally {
      await room?.giveBack()
    }
    return `full${isContended ? ', contended' : ''}`
  }

  async function killNode(): Promise<string> {
    await storage.node?.kill()
    await pause(1500, 5000)
    await storage.node?.start()
    await pause(1000, 2000)
    return 'node kill'
  }

  /** Long enough for slow uploads to come to their end. */
  async function rest(): Promise<string> {
    await pause(5000, 6500)
    return 'rest'
  }

  const events = proxies.length === 0 ? [kill, kill, kill, stop, rest] : [storm, storm, storm, kill, kill, stop, rest]
  if (storage.node) events.push(killNode, killNode)
  if (storage.room) events.push(fill, fill, fill, fill)
  for (const proxy of proxies) proxy.weather = CALM
  let upcoming: typeof events = []
  while (!signal.aborted) {
    await pause(1000, 3000)
    if (signal.aborted) break
    const start = performance.now()
    // Shuffled, so that each event comes up within about a minute
    if (upcoming.length === 0) upcoming = shuffled(events, random)
    const event = upcoming.pop() ?? rest
    // Now and then a server dies in the middle of it
    const second =
      event !== kill && event !== stop && event !== rest && chance(0.25, random)
        ? pause(200, 1000).then(kill)
        : undefined
    const what = [await event(), await second].filter((name) => name !== undefined)
    for (const name of what) record({ kind: 'fault', what: name, start, end: performance.now() })
  }
  for (const proxy of proxies) proxy.weather = {}
}
