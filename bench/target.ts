import { fileURLToPath } from 'node:url'
import { ANY_CREDENTIALS, type Place } from './contenders.ts'
import { type Running, start } from './process.ts'

const target = (name: string) => fileURLToPath(new URL(`targets/${name}.ts`, import.meta.url))

export function startTarget(name: string, args: string[] = [], env: Record<string, string> = {}): Promise<Running> {
  return start(() => ({ argv: [process.execPath, ...process.execArgv, target(name), ...args], env }))
}

export const at = (store: Running): Place => ({ s3: { S3_ENDPOINT: store.url, ...ANY_CREDENTIALS } })

/** What the null store was given since the last time. */
export async function storedObjects(store: Running): Promise<Record<string, { size: number; sha256?: string }>> {
  return (await (await fetch(`${store.url}/_objects`)).json()) as Record<string, { size: number; sha256?: string }>
}
