import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { compare } from '../check.ts'
import { type Contender, ours, oursFar, oursSweeping, paginator, sdkDelete } from '../contenders.ts'
import { curl, digest } from '../load.ts'
import { type Running, sleep } from '../process.ts'
import { WrongResult } from '../result.ts'
import { CPU_SECONDS, count, FIRST_BYTE, GROWTH, LIST, MIB, PEAK, type Row, SECONDS } from '../row.ts'
import { BUCKET, SCRATCH } from '../setup.ts'
import { once } from '../side-by-side.ts'
import { at, startTarget } from '../target.ts'
import { fillBucket } from '../targets/fill-bucket.ts'
import { expectedList, makeLibrary, type Spread } from '../targets/library.ts'

/** @param times whether `created_at` is as expected too; on a real store the peer's is when the object was stored */
async function listOnce(
  server: Running,
  name: string,
  path: string,
  expected: string,
  times = true,
): Promise<number[]> {
  const output = join(SCRATCH, 'list.json')
  await fetch(`${server.url}/livez`)
  const before = { cpu: server.cpu(), rss: server.rss() }
  const { seconds, firstByte } = await curl(server.url + path, output)
  const figures = [seconds, (server.cpu() - before.cpu) / 1000, (server.peak() - before.rss) / MIB, firstByte]
  const list = readFileSync(output)
  const compared = times ? list : Buffer.from(list.toString().replace(/,"created_at":"[^"]*"/g, ''))
  compare(name, [expected], [digest(compared)])
  return figures
}

const LIST_FIGURES = [SECONDS, CPU_SECONDS, GROWTH, FIRST_BYTE]
const FAR_MS = 60

function startFar(spread: Spread, images: number): Promise<Running> {
  return startTarget('far-store', [], { SPREAD: spread, IMAGES: String(images), DELAY: String(FAR_MS) })
}

const millionOr = (quick: boolean) => (quick ? 20_000 : 1_000_000)

export function farListRow(name: string, spread: Spread, ids: string): Row {
  return {
    name,
    group: `Lists of a store where every call takes ${FAR_MS} ms longer`,
    title: ({ quick }) => `all ${count(millionOr(quick))} images, ${ids}`,
    figures: LIST_FIGURES,
    async measure({ effort, select }) {
      const images = millionOr(effort.quick)
      const expected = expectedList(makeLibrary(spread, images), 'images')
      const far = await startFar(spread, images)
      try {
        const who = select([oursFar, paginator])
        return await once(
          who,
          at(far),
          Math.min(3, effort.rounds),
          (server, { name }) => listOnce(server, name, LIST, expected),
          far,
        )
      } finally {
        await far.stop()
      }
    },
  }
}

export const storyIds: Row = {
  name: 'story-ids',
  group: `Lists of a store where every call takes ${FAR_MS} ms longer`,
  title: ({ quick }) =>
    `the ids of all ${count(millionOr(quick) / 8)} stories, after the first sweep; the peer lists prefixes, so it would show broken uploads too`,
  figures: LIST_FIGURES,
  async measure({ effort, select }) {
    const images = millionOr(effort.quick)
    const expected = expectedList(makeLibrary('year', images), 'ids')
    const far = await startFar('year', images)
    try {
      const who = select([oursSweeping, paginator])
      const list = async (server: Running, { name }: Contender) => {
        await untilQuiet(far)
        return listOnce(server, name, `${LIST}/story-ids`, expected)
      }
      return await once(who, at(far), Math.min(3, effort.rounds), list, far)
    } finally {
      await far.stop()
    }
  },
}

export const listOne: Row = {
  name: 'list-one',
  group: `Lists of a store where every call takes ${FAR_MS} ms longer`,
  title: ({ quick }) => `one story of 8 images among ${count(millionOr(quick))}`,
  figures: [
    { name: 'Time', unit: 'ms', better: 'less' },
    { name: 'Calls to the store', unit: '', better: 'less' },
  ],
  async measure({ effort, select }) {
    const images = millionOr(effort.quick)
    const { ids } = makeLibrary('year', images)
    const far = await startFar('year', images)
    try {
      return await once(select([oursFar]), at(far), effort.rounds, async (server) => {
        const id = ids[ids.length >> 1]
        // A first call opens connections
        await fetch(`${server.url}${LIST}/${ids[0]}`)
        await farStats(far)
        const begin = performance.now()
        const list = (await (await fetch(`${server.url}${LIST}/${id}`)).json()) as { path: string }[]
        const time = performance.now() - begin
        const expected = Array.from({ length: 8 }, (_, index) => `/images/stories/${id}/${index + 1}.jpg`)
        compare(
          ours.name,
          expected,
          list.map(({ path }) => path),
        )
        return [time, (await farStats(far)).calls]
      })
    } finally {
      await far.stop()
    }
  },
}

/** Resolves once nobody has asked the store anything for two seconds. */
async function untilQuiet(far: Running): Promise<void> {
  do {
    await farStats(far)
    await sleep(2000)
  } while ((await farStats(far)).calls > 0)
}

async function farStats(far: Running): Promise<{ calls: number; left: number }> {
  return (await (await fetch(`${far.url}/_stats`)).json()) as { calls: number; left: number }
}

export const deleteAll: Row = {
  name: 'delete-all',
  group: `Deletions from a store where every call takes ${FAR_MS} ms longer`,
  title: ({ quick }) => `all ${count(quick ? 8_000 : 100_000)} images`,
  figures: [SECONDS, CPU_SECONDS, PEAK],
  async measure({ effort, select }) {
    const far = await startFar('year', effort.quick ? 8_000 : 100_000)
    try {
      const who = select([oursFar, sdkDelete])
      return await once(who, at(far), Math.min(3, effort.rounds), async (server, { name }) => {
        await fetch(`${far.url}/_reset`)
        const before = server.cpu()
        const { seconds } = await curl(server.url + LIST, join(SCRATCH, 'delete.json'), '-X', 'DELETE')
        const { left } = await farStats(far)
        if (left > 0) throw new WrongResult(`${name} left ${left} objects`)
        return [seconds, (server.cpu() - before) / 1000, server.peak() / MIB]
      })
    } finally {
      await far.stop()
    }
  },
}

export const listMinio: Row = {
  name: 'list-minio',
  group: 'Lists of a MinIO next door',
  title: ({ quick }) => `all ${count(quick ? 5_000 : 100_000)} images`,
  figures: LIST_FIGURES,
  async measure({ effort, select, minio }) {
    const { env, emptyBucket } = await minio()
    await emptyBucket()
    const library = makeLibrary('year', effort.quick ? 5_000 : 100_000)
    const begin = Date.now()
    await fillBucket(`${env.S3_ENDPOINT}/${BUCKET}`, library)
    const note = `Filling the bucket took ${Math.round((Date.now() - begin) / 1000)} s.`
    const expected = expectedList(library, 'images without times')
    try {
      const who = select([ours, paginator])
      const { contenders } = await once(who, { s3: env }, Math.min(3, effort.rounds), (server, { name }) =>
        listOnce(server, name, LIST, expected, false),
      )
      return { contenders, notes: [note] }
    } finally {
      await emptyBucket()
    }
  },
}
