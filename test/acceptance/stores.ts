import t, { type Test } from 'tap'
import { type ServerProcess, startServer } from '../support/server-process.ts'
import { IMAGES, remove } from './client.ts'
import { openers, type TestStore } from './openers.ts'

export { diskStore, engineStore, openers, standInEnvironment, standInStore, type TestStore } from './openers.ts'

export interface Fixture {
  readonly store: TestStore
  readonly server: ServerProcess
}

const fixtures = new Map<string, Promise<Fixture>>()

/**
 * Runs a test on every store. It starts with an empty store, and with a server that only tests of its process use, and only those
 * with the same settings.
 */
export function onEachStore(
  name: string,
  promise: (t: Test, server: ServerProcess, store: TestStore) => Promise<void>,
  environment: Readonly<Record<string, string>> = {},
): void {
  for (const [storeName, open] of openers) {
    t.test(`${name} (${storeName})`, async (test) => {
      const id = JSON.stringify([storeName, environment])
      const fixture = fixtures.get(id) ?? openFixture(open, environment)
      fixtures.set(id, fixture)
      const { server, store } = await fixture
      test.teardown(async () => {
        await remove(server, IMAGES)
        // What a delete-all leaves, an upload that was broken off for instance, is not for the next test
        if ((await store.content()).length > 0) fixtures.delete(id)
      })
      await promise(test, server, store)
    })
  }
}

/** A store, and a server on it, for as long as the tests of the file run. */
export async function openFixture(
  open: (t: Test) => Promise<TestStore>,
  environment: Readonly<Record<string, string>>,
): Promise<Fixture> {
  const store = await open(t)
  return { store, server: await serverOn(t, store, environment) }
}

/** A server on a store, which has to end well when the test is over, unless the test has killed it. */
export async function serverOn(
  t: Test,
  store: TestStore,
  environment: Readonly<Record<string, string>> = {},
): Promise<ServerProcess> {
  // By default two variants are made at once, and on a busy machine others would wait too long for their turn
  const server = await startServer({ VARIANT_CONCURRENCY: '8', ...store.environment, ...environment })
  t.teardown(async () => {
    const { code, signal } = await server.stop()
    if (code !== 0 && signal !== 'SIGKILL') {
      throw new Error(`The server ended with ${code ?? signal}: ${server.output.stderr}`)
    }
  })
  return server
}
