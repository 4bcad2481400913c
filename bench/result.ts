import type { Environment } from './setup.ts'

export interface Figure {
  readonly name: string
  readonly unit: string
  /** What makes a better figure; nothing for one that only explains others. */
  readonly better?: 'more' | 'less'
}

export interface ContenderResult {
  readonly name: string
  readonly role: 'ours' | 'peer' | 'limit'
  /** For each figure of the row, one value of each round. */
  readonly samples: readonly (readonly number[])[]
}

export interface RowResult {
  readonly row: string
  readonly group: string
  /** What is done. */
  readonly title: string
  /** The first one is what contenders are compared by. */
  readonly figures: readonly Figure[]
  readonly contenders: readonly ContenderResult[]
  /** What was seen besides. */
  readonly notes: readonly string[]
  /** ISO 8601. */
  readonly date: string
  readonly environment: Environment
}

/** A contender gave a wrong response or stored something else: the one thing that fails a run. */
export class WrongResult extends Error {
  override readonly name = 'WrongResult'
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

/** How many times better the first is than the second, by a figure. */
export function advantage(figure: Figure, first: ContenderResult, second: ContenderResult, index = 0): number {
  const ratio = median(first.samples[index] ?? []) / median(second.samples[index] ?? [])
  return figure.better === 'less' ? 1 / ratio : ratio
}
