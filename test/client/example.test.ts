import { join } from 'node:path'
import t from 'tap'
import { diskStore, serverOn } from '../acceptance/stores.ts'
import { examplesOf, run } from '../support/examples.ts'

t.test('the example of docs/client.md does what it says', async (t) => {
  const server = await serverOn(t, await diskStore(t))
  const example = await examplesOf('docs/client.md')
  // Inside of the package, which is then found under its own name
  const folder = t.testdir({ 'example.mjs': example('client', { 'http://localhost:8000': server.url }) })
  const { code, stdout, stderr } = await run(process.execPath, [join(folder, 'example.mjs')])
  t.equal(code, 0, stderr)
  const [uploaded = '', listed, ...rest] = stdout.trim().split('\n')
  const [id = '', count] = uploaded.split(' ')
  t.equal(count, '2')
  t.equal(listed, `${id} /images/stories/${id}/1.jpg /images/stories/${id}/2.png`)
  t.same(rest, ['415 File 1 is not a JPEG, PNG, GIF, WebP or AVIF image', 'Images deleted successfully'])
  const sizes = [...stderr.matchAll(/^(\d+) of (\d+) bytes$/gm)].at(-1)
  t.ok(sizes && sizes[1] === sizes[2], 'the progress ends with all of it')
})
