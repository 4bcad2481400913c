import t from 'tap'
import { noExiftool } from '../support/exiftool.ts'
import { ALL } from '../support/extent.ts'
import { runFuzzer } from './run-fuzzer.ts'

const FILES = Number(process.env.FUZZ_FILES ?? (ALL ? 1000 : 20))

t.test(
  `of ${FILES} damaged images of each type none is stored with a position, or with other pixels`,
  { skip: noExiftool },
  async (t) => await runFuzzer(t, 'metadata-fuzz.ts', { FUZZ_FILES: String(FILES) }),
)
