import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { blocksOf, ROOT } from '../support/examples.ts'

/** Writes each example of a document into a file of its name. Usage: write-examples.ts DOCUMENT FOLDER. */
const [document = '', folder = ''] = process.argv.slice(2)
for (const { name, code } of blocksOf(await readFile(join(ROOT, document), 'utf8'))) {
  if (name !== undefined) await writeFile(join(folder, name), code)
}
