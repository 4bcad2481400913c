/**
 * `npm run bench`: story-images and its peers side by side, on one machine and in one run.
 *
 *   npm run bench                       every row; writes docs/benchmarks.md and its chart
 *   npm run bench -- NAME…              some rows; their results are kept for the next report
 *   npm run bench -- --quick [NAME…]    a short run that checks the responses and keeps nothing
 *   npm run bench -- --report           writes the documents from the newest result of each row
 *   npm run bench -- --against REF      compares the working tree with another commit, and keeps nothing; NAME… and --quick too
 *
 * No figure fails the run; a wrong response does.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { buildOther, formatComparison } from './against.ts'
import { drawChart } from './chart.ts'
import { formatRow, writeReport } from './report.ts'
import type { RowResult } from './result.ts'
import type { Bench, Effort } from './row.ts'
import { ROWS } from './rows.ts'
import { CACHE, type Minio, prepare, ROOT, readEnvironment, startMinio } from './setup.ts'

const RESULTS = join(CACHE, 'results')
const FULL: Effort = { quick: false, seconds: 5, rounds: 5 }
const QUICK: Effort = { quick: true, seconds: 1, rounds: 1 }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    against: { type: 'string' },
    quick: { type: 'boolean', default: false },
    report: { type: 'boolean', default: false },
  },
})

/** Returns whether every response was right. A row that fails does not keep the others from running. */
async function measure(names: readonly string[], effort: Effort): Promise<boolean> {
  const unknown = names.find((name) => !ROWS.some((row) => row.name === name))
  if (unknown !== undefined) throw new Error(`No row ${unknown}; there are ${ROWS.map((row) => row.name).join(', ')}`)
  await prepare(values.against === undefined)
  const other = values.against === undefined ? undefined : await buildOther(values.against)
  let minio: Promise<Minio> | undefined
  const bench: Bench = {
    effort,
    select: other?.select ?? ((who) => who),
    minio() {
      minio ??= startMinio()
      return minio
    },
  }
  const cleanUp = async () => {
    await minio?.then(({ stop }) => stop()).catch(() => {})
    await other?.remove()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => cleanUp().finally(() => process.exit(1)))
  let right = true
  const worse: string[] = []
  try {
    for (const row of ROWS.filter(({ name }) => names.length === 0 || names.includes(name))) {
      const { name, group, figures } = row
      try {
        const measured = { row: name, group, title: row.title(effort), figures, ...(await row.measure(bench)) }
        if (other) {
          const { text, worse: figures } = formatComparison(measured, other.ref)
          console.log(text)
          worse.push(...figures)
          continue
        }
        const result: RowResult = { ...measured, date: new Date().toISOString(), environment: await readEnvironment() }
        console.log(formatRow(result))
        if (effort.quick) continue
        mkdirSync(RESULTS, { recursive: true })
        writeFileSync(join(RESULTS, `${name}.json`), JSON.stringify(result, undefined, 2))
      } catch (error) {
        console.error(`\n${name} failed:`, error)
        right = false
      }
    }
  } finally {
    await cleanUp()
  }
  if (other) console.log(`\nWorse than ${other.ref} by more than 5 %: ${worse.join('; ') || 'nothing'}`)
  return right
}

function report(): void {
  const kept = readdirSync(RESULTS).map((file) => JSON.parse(readFileSync(join(RESULTS, file), 'utf8')) as RowResult)
  const results = ROWS.flatMap(({ name }) => kept.filter(({ row }) => row === name))
  writeFileSync(join(ROOT, 'docs/benchmarks.md'), writeReport(results))
  writeFileSync(join(ROOT, 'docs/images/benchmarks.svg'), drawChart(results))
}

const begin = Date.now()
try {
  if (!values.report) {
    const right = await measure(positionals, values.quick ? QUICK : FULL)
    console.log(
      `\n${right ? 'Every response was right' : 'Not every response was right'}; ${Math.round((Date.now() - begin) / 1000)} s`,
    )
    if (!right) process.exitCode = 1
  }
  if (values.report || (positionals.length === 0 && !values.quick && values.against === undefined)) report()
} catch (error) {
  console.error(error)
  process.exit(1)
}
// A row that failed may have left a server behind, which ends with this process
process.exit()
