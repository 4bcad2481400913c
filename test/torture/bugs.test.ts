import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { ALL } from '../support/extent.ts'
import { BUGS, bugNamed, buildEdited, editedSources } from './bugs.ts'

for (const [name, { edits }] of Object.entries(BUGS)) {
  t.test(`the bug "${name}" can be planted in the server of today`, async (t) => {
    t.ok((await editedSources(edits)).size > 0)
    const other = edits.map((edit) => ({ ...edit, from: `${edit.from} and more` }))
    await t.rejects(editedSources(other), /The server is another one now/, 'and only where it fits')
  })
}

if (ALL)
  t.test('a server with a bug is built', async (t) => {
    const out = t.testdir()
    await buildEdited(out, bugNamed('no-rename').edits)
    const files = await readdir(out, { recursive: true })
    const code = await Promise.all(
      files.filter((name) => name.endsWith('.js')).map((name) => readFile(join(out, name), 'utf8')),
    )
    t.equal(code.filter((text) => text.includes(': [path, sidecarPath(path)]')).length, 1, 'with the bug in it')
    t.ok(files.includes('cli/sweep.js'), 'and with the command that runs beside it')
  })
