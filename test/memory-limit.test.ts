import { readFile } from 'node:fs/promises'
import t from 'tap'
import { type MemorySettings, memoryOf } from '../build/memory-limit.ts'
import { LIMITS } from '../src/app.ts'
import { readConfig } from '../src/config.ts'
import { PROMISED_MEMORY } from './variants/measured-worker.ts'

const MIB = 1024 * 1024
const page = await readFile(new URL('../docs/memory.md', import.meta.url), 'utf8')

const [, section = ''] = /^## Limit a container\n(.*?)^## /ms.exec(page) ?? []
const [, , ...rows] = section
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
const last = rows.at(-1)
const table = rows.slice(0, -1).map(([, part = '', most = '', byDefault = '', reserved = '']) => ({
  part,
  most,
  byDefault,
  reserved,
}))

/** Computes a formula of the table, in bytes: sums of products of numbers, sizes and names of settings. */
function compute(formula: string, settings: MemorySettings): number {
  const values: Readonly<Record<string, unknown>> = { ...settings }
  const factor = (text: string) => {
    const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(?: (KiB|MiB))?$/.exec(text) ?? []
    if (number !== undefined) return Number(number) * ({ KiB: 1024, MiB: MIB }[unit] ?? 1)
    const value = values[text.replaceAll('`', '')]
    if (typeof value !== 'number') throw new Error(`no number: ${text}`)
    return value
  }
  const product = (text: string) =>
    text
      .split(' × ')
      .map(factor)
      .reduce((a, b) => a * b)
  return formula
    .split(' + ')
    .map(product)
    .reduce((a, b) => a + b)
}

const inMib = (bytes: number) => `${Math.ceil(bytes / MIB)} MiB`

t.test('docs/memory.md has the memory of each part with the defaults, and their sum', (t) => {
  const { parts, limitMib, requestMib } = memoryOf(readConfig({}))
  t.same(
    table.map(({ part, byDefault }) => [part, byDefault]),
    Object.entries(parts).map(([part, bytes]) => [part, inMib(bytes)]),
  )
  t.same(last?.slice(1, 5), ['together', '', `${limitMib} MiB`, `${requestMib} MiB`])
  t.match(section, `On AWS, where \`LIST_CONCURRENCY\` is 16 by default, the limit is ${aws().limitMib} MiB.`)
  t.end()
})

/** With a bucket and no endpoint. */
function aws() {
  return memoryOf(readConfig({ S3_BUCKET: 'bucket' }))
}

t.test('the formulas of docs/memory.md are those of the function, whatever the settings', (t) => {
  const [, example = ''] = /^With (.*) the limit is/m.exec(section) ?? []
  const smaller = Object.fromEntries(
    [...example.matchAll(/`(\w+)=(\w+)`/g)].map(([, name = '', value]) => [name, value]),
  )
  t.equal(Object.keys(smaller).length, 2, example)
  for (const environment of [
    smaller,
    { LIST_CONCURRENCY: '1', UPLOAD_MEMORY: '48MiB', VARIANT_CONCURRENCY: '1' },
    { LIST_CONCURRENCY: '64', UPLOAD_MEMORY: '4GiB', VARIANT_CONCURRENCY: '16' },
  ]) {
    const settings = readConfig({ LIST_CONCURRENCY: '1', ...environment })
    const { parts, limitMib, requestMib } = memoryOf(settings)
    t.same(
      table.map(({ part, most }) => [part, compute(most, settings)]),
      Object.entries(parts),
    )
    const sum = (column: 'most' | 'reserved') =>
      Math.ceil(table.reduce((sum, row) => sum + compute(row[column], settings), 0) / MIB)
    t.equal(limitMib, sum('most'))
    t.equal(requestMib, sum('reserved'))
  }
  t.match(section, `the limit is ${memoryOf(readConfig(smaller)).limitMib} MiB.\n`)
  t.end()
})

t.test('the number of calls that list a bucket counts as the server takes it by default', (t) => {
  const lists = (environment: Record<string, string>) => memoryOf(readConfig(environment)).parts.lists / MIB
  t.equal(lists({ S3_BUCKET: 'bucket' }) - lists({}), 15 * 4)
  t.equal(lists({ S3_BUCKET: 'bucket', S3_ENDPOINT: 'http://localhost:9000' }), lists({}))
  t.equal(lists({ LIST_CONCURRENCY: '64' }) - lists({}), 63 * 4)
  t.end()
})

t.test('the bounds of lists, connections and workers are those that the server has', (t) => {
  const { parts } = memoryOf(readConfig({}))
  t.equal(parts.lists, LIMITS.lists * 2 * MIB + 4 * MIB)
  t.equal(parts.connections, LIMITS.connections * 30 * 1024)
  t.equal(parts.variants, readConfig({}).VARIANT_CONCURRENCY * PROMISED_MEMORY)
  t.end()
})
