import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildServer } from '../../build/server.ts'
import { type Contender, ours } from '../contenders.ts'
import { start } from '../process.ts'
import { type Figure, WrongResult } from '../result.ts'
import { CPU_SECONDS, type Row, SECONDS } from '../row.ts'
import { newFolder, ROOT, SCRATCH, startCommand } from '../setup.ts'

const UNBUNDLED = join(SCRATCH, 'unbundled', 'dist')

/** The same server, which loads each file of its packages by itself. */
const unbundled: Contender = {
  name: 'the same, not bundled',
  role: 'peer',
  command: (place, port) => ({ ...ours.command(place, port), argv: startCommand(UNBUNDLED) }),
}

export const startRow: Row = {
  name: 'start',
  group: 'Start',
  title: () => 'from the start of the process to its first response, with the disk store',
  figures: [SECONDS, CPU_SECONDS] satisfies Figure[],
  async measure({ effort, select }) {
    await buildServer(UNBUNDLED, { packages: 'external' })
    copyFileSync(join(ROOT, 'package.json'), join(UNBUNDLED, '..', 'package.json'))
    const results = select([ours, unbundled]).map((contender) => ({ contender, samples: [[], []] as number[][] }))
    // The first round reads the files from the disk and is not measured
    for (let round = -1; round < 3 * effort.rounds; round++) {
      for (const { contender, samples } of results) {
        const folder = await newFolder('start')
        const begin = performance.now()
        const server = await start((port) => contender.command({ folder }, port))
        try {
          const { status } = await fetch(`${server.url}/livez`)
          const seconds = (performance.now() - begin) / 1000
          if (status !== 200) throw new WrongResult(`${contender.name} responded with ${status}`)
          if (round < 0) continue
          samples[0]?.push(seconds)
          samples[1]?.push(server.cpu() / 1000)
        } finally {
          await server.stop()
        }
      }
    }
    return {
      contenders: results.map(({ contender: { name, role }, samples }) => ({ name, role, samples })),
      notes: ['The time is known to within 20 ms, and the processor time to within 10 ms.'],
    }
  },
}
