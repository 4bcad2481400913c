import { examplesOf } from '../support/examples.ts'

/** Prints an example of a document. Usage: example.ts DOCUMENT NAME [FROM TO]… replaces what is on the left by what is on the right. */
const [document = '', name = '', ...words] = process.argv.slice(2)
const changes = Object.fromEntries(
  words.flatMap((word, index) => (index % 2 === 0 ? [[word, words[index + 1] ?? '']] : [])),
)
process.stdout.write((await examplesOf(document))(name, changes))
