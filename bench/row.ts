import type { Contender } from './contenders.ts'
import type { Figure, RowResult } from './result.ts'
import type { Minio } from './setup.ts'

/** How long and how often to measure. */
export interface Effort {
  readonly quick: boolean
  /** Seconds of one measurement under load. */
  readonly seconds: number
  readonly rounds: number
}

export interface Bench {
  readonly effort: Effort
  /** Returns the contenders to measure: all of a row or, with `--against`, only story-images, as it is here and at the other commit. */
  select(who: readonly Contender[]): readonly Contender[]
  /** Started by the first row that needs it. */
  minio(): Promise<Minio>
}

export interface Row {
  readonly name: string
  readonly group: string
  readonly title: (effort: Effort) => string
  readonly figures: readonly Figure[]
  measure(bench: Bench): Promise<Pick<RowResult, 'contenders' | 'notes'>>
}

export const UPLOAD = '/api/v1/images/upload'
export const LIST = '/api/v1/images'
export const MIB = 2 ** 20

export const RATE: Figure = { name: 'Requests', unit: '/s', better: 'more' }
export const CPU: Figure = { name: 'CPU', unit: 'ms/request', better: 'less' }
export const SECONDS: Figure = { name: 'Time', unit: 's', better: 'less' }
export const CPU_SECONDS: Figure = { name: 'CPU', unit: 's', better: 'less' }
export const PEAK: Figure = { name: 'Peak memory', unit: 'MiB', better: 'less' }
export const GROWTH: Figure = { name: 'Memory above idle', unit: 'MiB', better: 'less' }
export const FIRST_BYTE: Figure = { name: 'First byte', unit: 's', better: 'less' }

export function size(bytes: number): string {
  return bytes >= 1e6 ? `${bytes / 1e6} MB` : `${bytes / 1000} KB`
}

export function count(number: number): string {
  return number.toLocaleString('en')
}
