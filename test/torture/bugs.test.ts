import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { BUGS, plantBug } from './bugs.ts'

for (const name of Object.keys(BUGS)) {
  t.test(`the bug "${name}" can be planted in the server of today`, async (t) => {
    const folder = t.testdir()
    await cp('dist', join(folder, 'dist'), { recursive: true })
    await t.resolves(plantBug(folder, name))
    await t.rejects(plantBug(folder, name), /The server is another one now/, 'and only once')
  })
}
