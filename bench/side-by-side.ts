import type { Contender, Place } from './contenders.ts'
import { type Load, wrk } from './load.ts'
import { endedChildrenCpu, type Running, sleep, start } from './process.ts'
import { median, WrongResult } from './result.ts'
import { type Effort, MIB } from './row.ts'
import { storedObjects } from './target.ts'

export interface Entrant {
  readonly name: string
  readonly role: Contender['role']
  readonly load: Load
  /** The process whose CPU time counts; none for a limit without a server of ours in between. */
  readonly process?: Running
  /** How many requests of the load generator count as one request of the row; 1 by default. */
  readonly divisor?: number
}

/** Measures the entrants in turn, for several rounds. Returns requests per second, CPU milliseconds per request and peak memory in MiB. */
export async function underLoad(entrants: readonly Entrant[], { quick, seconds, rounds }: Effort, store?: Running) {
  const samples = entrants.map(() => [[], [], []] as [number[], number[], number[]])
  const shares = entrants.map(() => ({ store: [] as number[], generator: [] as number[] }))
  if (!quick) for (const { load } of entrants) await wrk(load, 4)
  for (let round = 0; round < rounds; round++) {
    for (const [index, { name, load, process, divisor = 1 }] of entrants.entries()) {
      // What the one before left: uploads that broke off are undone
      await sleep(300)
      if (store) await storedObjects(store)
      const before = { cpu: process?.cpu() ?? 0, store: store?.cpu() ?? 0, generator: endedChildrenCpu() }
      const result = await wrk(load, seconds)
      if (result.refused > 0) throw new WrongResult(`${name} refused ${result.refused} of ${result.requests} requests`)
      const requests = result.requests / divisor
      samples[index]?.[0].push(requests / result.seconds)
      if (process) {
        samples[index]?.[1].push((process.cpu() - before.cpu) / requests)
        samples[index]?.[2].push(process.peak() / MIB)
      }
      const percent = (milliseconds: number) => milliseconds / result.seconds / 10
      shares[index]?.generator.push(percent(endedChildrenCpu() - before.generator))
      if (store) shares[index]?.store.push(percent(store.cpu() - before.store))
    }
  }
  const share = (of: 'store' | 'generator') =>
    entrants.map(({ name }, i) => `${name} ${median(shares[i]?.[of] ?? []).toFixed(0)} %`)
  return {
    contenders: entrants.map(({ name, role }, index) => ({ name, role, samples: samples[index] ?? [] })),
    notes: [
      `CPU of the load generator, of one core: ${share('generator').join(', ')}.`,
      ...(store ? [`CPU of the store, of one core: ${share('store').join(', ')}.`] : []),
    ],
  }
}

export async function startAll(who: readonly Contender[], place: Place) {
  const servers: { contender: Contender; process: Running }[] = []
  for (const contender of who) {
    servers.push({ contender, process: await start((port) => contender.command(place, port)) })
  }
  return servers
}

export async function stopAll(processes: readonly Running[]): Promise<void> {
  await Promise.all(processes.map((process) => process.stop()))
}

/** One request to a fresh server: its figures in the order of the row's. */
export type Once = (server: Running, contender: Contender) => Promise<number[]>

/**
 * Every contender in turn, each time by a new process. A contender that takes more than a minute has one round only.
 *
 * @param store the store, if it is one of ours, whose CPU is to be told
 */
export async function once(who: readonly Contender[], place: Place, rounds: number, work: Once, store?: Running) {
  const results = who.map((contender) => ({
    contender,
    samples: [] as number[][],
    shares: [] as number[],
    slow: false,
  }))
  for (let round = 0; round < rounds; round++) {
    for (const result of results.filter(({ slow }) => !slow)) {
      const server = await start((port) => result.contender.command(place, port))
      try {
        const begin = performance.now()
        const busy = store?.cpu() ?? 0
        for (const [index, value] of (await work(server, result.contender)).entries()) {
          result.samples[index] ??= []
          result.samples[index].push(value)
        }
        const took = performance.now() - begin
        if (store) result.shares.push(((store.cpu() - busy) / took) * 100)
        result.slow = took > 60_000
      } catch (error) {
        throw new Error(`${result.contender.name} failed`, { cause: error })
      } finally {
        await server.stop()
      }
    }
  }
  const shares = results.map(({ contender: { name }, shares }) => `${name} ${median(shares).toFixed(0)} %`)
  return {
    contenders: results.map(({ contender: { name, role }, samples }) => ({ name, role, samples })),
    notes: store ? [`CPU of the store, of one core: ${shares.join(', ')}.`] : [],
  }
}
