import { compare, makeBody, sha256Of, uploadOnce } from '../check.ts'
import { bare, nginx, ours, sdkBody } from '../contenders.ts'
import { CPU, PEAK, RATE, type Row, size } from '../row.ts'
import { type Entrant, startAll, stopAll, underLoad } from '../side-by-side.ts'

export function getRow(name: string, bytes: number): Row {
  return {
    name,
    group: 'Delivery from MinIO',
    title: () => `one image of ${size(bytes)}, 32 connections`,
    figures: [RATE, CPU, PEAK],
    async measure({ effort, select, minio }) {
      const { env } = await minio()
      const body = await makeBody(1, bytes)
      const servers = await startAll(select([ours, sdkBody, bare, nginx]), { s3: env })
      try {
        const [first] = servers
        if (!first) throw new Error('No contender')
        const [key = ''] = await uploadOnce(first.contender.name, first.process, body)
        const entrants: Entrant[] = []
        for (const { contender, process } of servers) {
          const url = `${process.url}/images/${key}`
          compare(contender.name, body.digests, [await sha256Of(url)])
          entrants.push({ ...contender, process, load: { url, connections: 32 } })
        }
        return await underLoad(entrants, effort)
      } finally {
        await stopAll(servers.map(({ process }) => process))
      }
    },
  }
}
