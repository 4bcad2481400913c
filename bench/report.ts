import { advantage, type ContenderResult, type Figure, median, type RowResult } from './result.ts'
import type { Environment } from './setup.ts'

/** Smallest ratio that is called better or worse. */
export const NOISE = 1.05

/** Formats the results of a row for the terminal. */
export function formatRow(result: RowResult): string {
  return formatTable(`${result.row}: ${result.title}`, tableOf(result), result.notes)
}

export function formatTable(title: string, rows: readonly string[][], notes: readonly string[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  const lines = rows.map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('   ')}`)
  return [`\n${title}`, ...lines, ...notes.map((note) => `  ${note}`)].join('\n')
}

/** Heads, then one row for each contender. The last column says how many times better story-images is. */
function tableOf({ figures, contenders }: RowResult): string[][] {
  const us = contenders.find(({ role }) => role === 'ours')
  const [first] = figures
  const heads = ['', ...figures.map(figureName), 'story-images is']
  return [
    heads,
    ...contenders.map((contender) => [
      contender.name,
      ...figures.map((_, index) => cell(contender.samples[index] ?? [])),
      us && first && contender !== us ? times(first, us, contender) : '',
    ]),
  ]
}

export function figureName({ name, unit }: Figure): string {
  return unit ? `${name}, ${unit}` : name
}

function times(figure: Figure, us: ContenderResult, other: ContenderResult): string {
  const factor = advantage(figure, us, other)
  if (other.role === 'limit') return `${Math.round(factor * 100)} % of it`
  if (factor > 1 / NOISE && factor < NOISE) return 'the same'
  return factor >= 1 ? `${number(factor)} × better` : `${number(1 / factor)} × worse`
}

/** The median, and the spread when there was more than one round. */
function cell(samples: readonly number[]): string {
  if (samples.length === 0 || samples.some(Number.isNaN)) return '–'
  if (samples.length === 1) return number(median(samples))
  return `${number(median(samples))} (${number(Math.min(...samples))}–${number(Math.max(...samples))})`
}

export function number(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(value >= 10 ? 3 : 2)))
}

/** The whole of docs/benchmarks.md. */
export function writeReport(results: readonly RowResult[]): string {
  const groups = [...new Set(results.map(({ group }) => group))]
  const newest = results.toSorted((a, b) => b.date.localeCompare(a.date))[0]
  if (!newest) throw new Error('There are no results yet: npm run bench')
  return `<!-- Written by npm run bench; the text is in bench/report.ts -->

# Benchmarks

${INTRODUCTION}
## The machine

${machine(newest.environment)}

## Where story-images is worse

${worse(results)}

${groups
  .map(
    (group) =>
      `## ${group}\n\n${results
        .filter((row) => row.group === group)
        .map(section)
        .join('\n')}`,
  )
  .join('\n')}`
}

const INTRODUCTION = `![story-images beside its peers](images/benchmarks.svg)

This page is for people who compare story-images with what they would write or use instead.
All contenders ran on one machine, in one run.
A figure means something only beside the others of its table: another machine gives other figures, and should give similar ratios.

<!-- example: bench -->
\`\`\`sh
npm run bench                                # every row, about 25 minutes; writes this page
npm run bench -- upload-small get-200kb      # some rows
npm run bench -- --report                    # writes this page from the newest result of each row
npm run bench -- --quick                     # checks the responses of all contenders in a few minutes, writes nothing
npm run bench -- --against main              # compares this working tree with another commit, row by row; writes nothing
\`\`\`

It needs wrk, nginx, curl, Python with venv, and Go for MinIO, on Linux.

## How it is measured

- The contenders are in [bench/peers](../bench/peers), each as its documentation teaches it.
  Their packages are pinned there.
- Each is one process with production settings, all on this machine, over loopback.
  story-images runs with \`LOG_LEVEL=warn\`, since the peers log nothing either, with the thread pool and the flags of V8 of its image (\`UV_THREADPOOL_SIZE=16\`, \`--no-memory-reducer --liftoff-only\`), and without sweeps, except in rows that have them.
  The peers leave out the SDK's checksum trailers, which makes them faster.
- Under load (figures per second): every contender is warmed up, then measured for 5 seconds in turn, A B C A B C, five rounds.
  Load comes from wrk with a body that was built before.
  Of the requests under way at the end of a round, half is counted.
- Large uploads, lists and deletions: one request by curl to a new process, up to three rounds in turn; a contender that takes more than a minute has one.
  In the rows of a store that is far away story-images has \`LIST_CONCURRENCY=16\`, its default on AWS.
- Figures are medians, with the least and the greatest of the rounds in brackets.
  Less than 5 % of difference is called the same.
  CPU is the time of the server's process and its children.
- "The store that only acknowledges" reads what it is sent and responds at once; the store that is far away responds after 60 ms, with pages that it made before.
  The lines below the tables say how busy they were.
- Before a contender is measured its responses are checked: status, digests of what is stored and sent, whole lists.
  A wrong one fails the run.
- The disk rows write below \`node_modules/.cache\` of the project, all contenders to the same file system.
- Limits, in the tables marked by a percentage: parsing alone reads the upload with the same parser and discards it; the bare path is 50 lines of Node.js that parse, hash, sign and send, with nothing else around them: no story, no check, no bound of memory, no response to failures; MinIO directly has no server in between; nginx hands images on without looking at them; the files alone are those of an upload, written, synced and renamed in the same way by a program that receives nothing.
`

function machine({ cpu, memory, kernel, versions }: Environment): string {
  const list = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return `${cpu}, ${memory} of memory, Linux ${kernel}.\n${list.join(', ')}.`
}

function worse(results: readonly RowResult[]): string {
  const lines = results.flatMap(({ row, figures, contenders }) => {
    const us = contenders.find(({ role }) => role === 'ours')
    return contenders
      .filter(({ role }) => us && role === 'peer')
      .flatMap((peer) =>
        figures.flatMap((figure, index) => {
          const factor = us ? advantage(figure, us, peer, index) : 1
          if (!(factor <= 1 / NOISE) || !figure.better) return []
          return [`- \`${row}\`, ${figure.name}: ${number(1 / factor)} times worse than ${peer.name}`]
        }),
      )
  })
  return lines.length > 0
    ? lines.join('\n')
    : 'In none of these tables, against the peers. The limits are above it by nature.'
}

function section(result: RowResult): string {
  const [heads = [], ...rows] = tableOf(result)
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const table = [
    line(heads),
    `|${heads.map((_, column) => (column === 0 ? '---' : '---:')).join('|')}|`,
    ...rows.map(line),
  ]
  const notes = [`Measured on ${result.date.slice(0, 10)}.`, ...result.notes]
  return `### ${result.row}\n\n${result.title}\n\n${table.join('\n')}\n\n${notes.join(' ')}\n`
}
