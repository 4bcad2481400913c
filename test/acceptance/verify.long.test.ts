import t from 'tap'
import { startServer } from '../support/server-process.ts'
import { IMAGES, remove, someImages, until, upload } from './client.ts'
import { runCommand } from './command.ts'
import { serverOn, standInStore } from './stores.ts'

t.test('what is uploaded and deleted while it runs is no damage', async (t) => {
  const store = await standInStore(t)
  const server = await startServer(store.environment)
  t.teardown(() => server.stop())
  const images = await someImages(3)
  let stop = false
  let deleted = 0
  const work = async () => {
    while (!stop) {
      const { story_id } = await upload(server, images)
      if (++deleted % 2) await remove(server, `${IMAGES}/${story_id}`)
    }
  }
  const working = Promise.all([work(), work(), work()])
  await until('there is something to read', () => deleted > 20)
  for (let run = 0; run < 3 || deleted <= 30; run++) {
    const { code, stdout } = await runCommand('verify', [], store.environment)
    t.equal(code, 0, stdout)
  }
  stop = true
  await working
})

t.test('a store that is out of reach, and SIGINT, end it', async (t) => {
  const store = await standInStore(t)
  const { standIn, environment } = store
  const server = await serverOn(t, store)
  await upload(server, await someImages(3))
  standIn.fail({ operation: 'GetObject' }, 'stall')
  const running = runCommand('verify', [], environment)
  await until('it reads', () => standIn.calls.some(({ operation }) => operation === 'GetObject'))
  running.interrupt('SIGINT')
  t.match(await running, { code: 1, signal: null, stderr: /Stopped by SIGINT\n$/ })
  await standIn.stop()
  t.match(await runCommand('verify', [], environment), { code: 1, stderr: /The image store cannot be reached/ })
  await standIn.start()
  standIn.clearFaults()
})
