import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { IMAGES, remove } from './client.ts'
import { diskStore, serverOn } from './stores.ts'

let shared: ReturnType<typeof aServer> | undefined

/** A server that the tests of a file share, without stories. */
export async function sharedServer() {
  // A command may stand still for as long as a test wants
  shared ??= aServer(t, { CLIENT_TIMEOUT: '10m' })
  const { server } = await shared
  await remove(server, IMAGES)
  return shared
}

/** A server on a disk store, and what commands need to find it. */
export async function aServer(t: Test, environment: Readonly<Record<string, string>> = {}) {
  const store = await diskStore(t)
  const server = await serverOn(t, store, environment)
  return { store, server, at: { STORY_IMAGES_SERVER: server.url } }
}

/** Files in a folder of the test's own. */
export async function someFiles(t: Test, bodies: readonly Uint8Array[]): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'story-images-files-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const paths = bodies.map((_, index) => join(folder, `${9 - index} of "it".bin`))
  await Promise.all(bodies.map((body, index) => writeFile(paths[index] as string, body)))
  return paths
}

/** Reads a line of JSON after another. */
export const lines = <Item>(text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Item)
