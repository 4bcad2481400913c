import { existsSync, symlinkSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Contender } from './contenders.ts'
import { run } from './process.ts'
import { figureName, formatTable, NOISE, number } from './report.ts'
import { type ContenderResult, type Figure, median, type RowResult } from './result.ts'
import type { Bench } from './row.ts'
import { ROOT, startCommand } from './setup.ts'

/** Another commit, built in a worktree of its own. */
export interface Other {
  readonly ref: string
  readonly select: Bench['select']
  remove(): Promise<void>
}

/** Builds a commit with the packages that are installed here. */
export async function buildOther(ref: string): Promise<Other> {
  const root = await mkdtemp(join(tmpdir(), 'story-images-against-'))
  const git = (...args: string[]) => run('git', ['-C', ROOT, ...args])
  const remove = async () => {
    await git('worktree', 'remove', '--force', root)
  }
  await git('worktree', 'add', '--detach', root, ref)
  try {
    for (const folder of ['node_modules', 'packages/client/node_modules'])
      if (existsSync(join(ROOT, folder))) symlinkSync(join(ROOT, folder), join(root, folder))
    await run('npm', ['run', '--silent', 'build'], { cwd: root })
  } catch (error) {
    await remove()
    throw error
  }
  const argv = startCommand(join(root, 'dist'))
  const built = (contender: Contender): Contender => ({
    ...contender,
    name: nameOf(contender, ref),
    command: (place, port) => ({ ...contender.command(place, port), argv }),
  })
  const select: Bench['select'] = (who) =>
    who.filter(({ role }) => role === 'ours').flatMap((contender) => [contender, built(contender)])
  return { ref, select, remove }
}

const nameOf = ({ name }: Pick<Contender, 'name'>, ref: string) => `${name}, ${ref}`

/** Returns tables of the working tree beside the other commit, and the names of the figures that are worse by more than noise. */
export function formatComparison(
  { row, title, figures, contenders, notes }: Omit<RowResult, 'environment' | 'date' | 'group'>,
  ref: string,
): { text: string; worse: string[] } {
  const pairs = contenders.flatMap((ours) => {
    const other = contenders.find(({ name }) => name === nameOf(ours, ref))
    return other ? [{ ours, other }] : []
  })
  if (pairs.length === 0) throw new Error(`${row} has no story-images`)
  const worse: string[] = []
  const tables = pairs.map(({ ours, other }) => {
    const lines = figures.map((figure, index) => {
      const ratios = ratiosOf(ours, other, index)
      const ratio = median(ratios)
      const isWorse = isWorseBy(NOISE, figure, ratio)
      // A round that says the opposite makes it doubtful
      const mark = !isWorse ? '' : ratios.every((one) => isWorseBy(1, figure, one)) ? 'WORSE' : 'worse?'
      const spread = `${ratio.toFixed(2)} (${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)})`
      const values = [ours, other].map(({ samples }) => number(median(samples[index] ?? [])))
      if (isWorse) worse.push(`${row}, ${ours.name}, ${figure.name}: ${spread}, ${mark}`)
      return [figureName(figure), ...values, spread, mark]
    })
    return [[ours.name, 'working tree', ref, 'ratio (least–greatest)', ''], ...lines]
  })
  return { text: formatTable(`${row}: ${title}`, tables.flat(), notes), worse }
}

/** Returns ours by the other's for each round, so that what slows down the machine for a while counts for both. */
function ratiosOf(ours: ContenderResult, other: ContenderResult, index: number): number[] {
  const others = other.samples[index] ?? []
  return (ours.samples[index] ?? [])
    .slice(0, others.length)
    .map((value, round) => value / (others[round] ?? Number.NaN))
}

function isWorseBy(factor: number, { better }: Figure, ratio: number): boolean {
  return better === 'more' ? ratio < 1 / factor : better === 'less' && ratio > factor
}
