import t from 'tap'
import { ALL, sample } from '../support/extent.ts'
import { describe, slowClients } from './slow-clients.ts'

t.test('slow clients by the hundred keep nobody else out, and nothing is left of them', async (t) => {
  const outcome = await slowClients({
    connections: 200,
    rounds: 1,
    seconds: ALL ? 2 : 0.3,
    kinds: sample(['headers', 'bodies', 'images', 'lists'], 2),
    // Clients that are gone are not to be noticed by these
    environment: { CLIENT_TIMEOUT: '1h', KEEP_ALIVE_TIMEOUT: '1h' },
  })
  for (const line of describe(outcome)) t.comment(line)
  t.same(outcome.refused, [], 'the normal client is served throughout')
  for (const what of ['upload', 'image', 'ids', 'livez'])
    t.ok((outcome.held[what]?.count ?? 0) > 0, `${what} while held`)
  // Headers may take 20 seconds, which a busy machine needs for all this
  const { open = 0, lost: { headers = 0, ...lost } = {} } = outcome.slow[0] ?? {}
  t.same(lost, {}, 'the slow ones were there meanwhile')
  t.ok(open + headers > 150)
  const [before = 0, held = 0] = outcome.rss
  t.ok(held - before < 250, `${held - before} MiB more with them`)
  const [files = 0, , after = 0] = outcome.files
  t.ok(after <= files + 10, `files open before: ${files}, after: ${after}`)
})
