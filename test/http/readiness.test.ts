import type { AddressInfo } from 'node:net'
import t from 'tap'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { StoreUnavailable } from '../../src/errors.ts'
import { cachedCheck } from '../../src/http/routes/readiness.ts'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import { eventually } from '../support/app.ts'
import { makeFolder } from '../support/stores.ts'

/** A question with a clock that stands still, and answers that the test gives. */
function question() {
  const state = { now: 1000, asked: 0, answer: async () => {} }
  const ask = cachedCheck(
    () => {
      state.asked += 1
      return state.answer()
    },
    () => state.now,
  )
  return { state, ask }
}

t.test('a good answer is remembered for five seconds', async (t) => {
  const { state, ask } = question()
  for (const [now, asked] of [
    [1000, 1],
    [1000, 1],
    [5999, 1],
    [6000, 2],
    [10_999, 2],
    [11_000, 3],
  ] as const) {
    state.now = now
    await ask()
    t.equal(state.asked, asked, `at ${now}`)
  }
})

t.test('a bad one is remembered for one second, and everybody gets it', async (t) => {
  const { state, ask } = question()
  state.answer = async () => {
    throw new StoreUnavailable()
  }
  await t.rejects(ask(), StoreUnavailable)
  state.answer = async () => {}
  state.now += 999
  await t.rejects(ask(), StoreUnavailable)
  t.equal(state.asked, 1)
  state.now += 1
  await t.resolves(ask())
  t.equal(state.asked, 2)
})

t.test('while the store thinks about it nobody asks again, however long that takes', async (t) => {
  const { state, ask } = question()
  let resolve = () => {}
  state.answer = () =>
    new Promise((done) => {
      resolve = done
    })
  const first = ask()
  state.now += 60_000
  const second = ask()
  t.equal(state.asked, 1)
  resolve()
  await Promise.all([first, second])
  state.now += 4999
  await ask()
  t.equal(state.asked, 1, 'the time counts from the answer')
})

t.test('a hundred requests of /readyz at once are one call of the store', async (t) => {
  let calls = 0
  let go = () => {}
  const held = new Promise<void>((resolve) => {
    go = resolve
  })
  const store = {
    ...(await openDiskStore(await makeFolder(t))),
    ready: async () => {
      calls += 1
      await held
    },
  }
  const app = await buildApp(readConfig({ LOG_LEVEL: 'silent', MAX_EVENT_LOOP_DELAY: '1m' }), store)
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => app.close())
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}/readyz`
  const asked = Array.from({ length: 100 }, () => fetch(url).then(({ status }) => status))
  const running = async () => /requests_running\{operation="ready"\} 100/.test(await app.metrics.text())
  t.ok(await eventually(running), 'all of them wait')
  t.equal(calls, 1)
  go()
  t.same([...new Set(await Promise.all(asked))], [200])
  app.shutdown.begun = true
  t.equal((await fetch(url)).status, 503, 'but a shutdown is seen at once')
})
