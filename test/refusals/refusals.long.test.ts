import t from 'tap'
import { isInstalled, PROXIES } from './proxies.ts'
import { refusals } from './refusals.ts'

/** Whose configurations are run. */
const DOCUMENT = 'docs/deployment.md'
const EXAMPLES = ['nginx', 'httpd', 'haproxy', 'caddy', 'varnish']

/** One that sends everything before it reads, and one that Caddy does not cut off. */
const CLIENTS = { most: 'Python http.client', caddy: 'Python requests' }

t.test(`a client gets the error of a refused upload, directly and through the proxies of ${DOCUMENT}`, async (t) => {
  t.same(
    PROXIES.map(({ name }) => name),
    EXAMPLES,
  )
  const only = (way: string, client: string) => client === (way === 'caddy' ? CLIENTS.caddy : CLIENTS.most)
  for await (const { way, client, kind, count, lost } of refusals(t, 1, only)) {
    t.ok(count > 0)
    t.same(lost, [], `${way}, ${client}, ${kind}`)
  }
  const missing = PROXIES.filter((proxy) => !isInstalled(proxy)).map(({ package: name }) => name)
  if (missing.length === 0) return
  if (process.env.CI) t.fail(`not installed: ${missing.join(' ')}`)
  else t.test('the other proxies', { skip: `not installed (apt-get install ${missing.join(' ')})` }, async () => {})
})
