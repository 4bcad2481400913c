import t from 'tap'
import { ALL } from '../support/extent.ts'
import { runFuzzer } from './run-fuzzer.ts'

const BODIES = Number(process.env.FUZZ_BODIES ?? (ALL ? 2000 : 40))

t.test(
  `of ${BODIES} mutated uploads each is answered, none is taken that is not whole, and nothing leaks`,
  async (t) => await runFuzzer(t, 'fuzz.ts', { FUZZ_BODIES: String(BODIES) }, ['--expose-gc']),
)
