/**
 * `npm run bench`: story-images and its peers side by side, on one machine and in one run.
 *
 *   npm run bench                       every row; writes docs/benchmarks.md and its chart
 *   npm run bench -- NAME…              some rows; their results are kept for the next report
 *   npm run bench -- --quick [NAME…]    a short run that checks the answers and keeps nothing
 *   npm run bench -- --report           writes the documents from the newest result of each row
 *
 * No figure fails the run; a wrong answer does.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { drawChart } from './chart.ts'
import { printRow, writeReport } from './report.ts'
import type { RowResult } from './result.ts'
import type { Bench, Effort } from './row.ts'
import { ROWS } from './rows.ts'
import { CACHE, type Minio, prepare, ROOT, readEnvironment, startMinio } from './setup.ts'

const RESULTS = join(CACHE, 'results')
const FULL: Effort = { quick: false, seconds: 5, rounds: 5 }
const QUICK: Effort = { quick: true, seconds: 1, rounds: 1 }

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { quick: { type: 'boolean', default: false }, report: { type: 'boolean', default: false } },
})

/** Returns whether every answer was right. A row that fails does not keep the others from running. */
async function measure(names: readonly string[], effort: Effort): Promise<boolean> {
  const unknown = names.find((name) => !ROWS.some((row) => row.name === name))
  if (unknown !== undefined) throw new Error(`No row ${unknown}; there are ${ROWS.map((row) => row.name).join(', ')}`)
  await prepare()
  const environment = await readEnvironment()
  let minio: Promise<Minio> | undefined
  const bench: Bench = {
    effort,
    minio() {
      minio ??= startMinio()
      return minio
    },
  }
  const stop = async () => {
    await (await minio)?.stop()
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop().finally(() => process.exit(1)))
  let right = true
  try {
    for (const row of ROWS.filter(({ name }) => names.length === 0 || names.includes(name))) {
      const { name, group, figures } = row
      try {
        const facts = { row: name, group, title: row.title(effort), figures }
        const measured = await row.measure(bench)
        const result: RowResult = { ...facts, ...measured, date: new Date().toISOString(), environment }
        console.log(printRow(result))
        if (effort.quick) continue
        mkdirSync(RESULTS, { recursive: true })
        writeFileSync(join(RESULTS, `${name}.json`), JSON.stringify(result, undefined, 2))
      } catch (error) {
        console.error(`\n${name} failed:`, error)
        right = false
      }
    }
  } finally {
    await stop()
  }
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
      `\n${right ? 'Every answer was right' : 'Not every answer was right'}; ${Math.round((Date.now() - begin) / 1000)} s`,
    )
    if (!right) process.exitCode = 1
  }
  if (values.report || (positionals.length === 0 && !values.quick)) report()
} catch (error) {
  console.error(error)
  process.exit(1)
}
// A row that failed may have left a server behind, which ends with this process
process.exit()
