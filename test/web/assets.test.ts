import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { get, isError, send } from '../acceptance/client.ts'
import { diskStore, serverOn } from '../acceptance/stores.ts'

const BUDGET = 100 * 1024

t.test('the page may run, show and ask for what is of this server, and nothing else', async (t) => {
  const server = await serverOn(t, await diskStore(t))
  const page = await get(server, '/')
  t.equal(page.status, 200)
  t.equal(page.headers['content-type'], 'text/html; charset=utf-8')
  t.equal(page.headers['cache-control'], 'no-cache')
  const policy = String(page.headers['content-security-policy'])
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) {
    t.ok(policy.split('; ').includes(part), part)
  }
  t.notMatch(policy, /unsafe|data:|\*|http/)
  t.equal(page.headers['x-frame-options'], 'DENY')
  t.equal(page.headers['x-content-type-options'], 'nosniff')
  const html = page.body.toString()
  t.notMatch(html, /\{\{|<style|<script>|style="|\son\w+=/, 'nothing is written into it that would run')
  const names = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, name]) => name)
  t.ok(names.length >= 5)
  for (const name of names) t.match(name, /^assets\/[\w.-]+-[A-Z0-9]{8}\.(js|css|svg|woff2)$/)
})

t.test('script and style are at most 100 KiB, compressed', async (t) => {
  const server = await serverOn(t, await diskStore(t))
  const seen = new Set<string>()
  const weights: Record<string, number> = {}
  const weigh = async (path: string): Promise<void> => {
    if (seen.has(path)) return
    seen.add(path)
    const response = await get(server, path, { 'accept-encoding': 'gzip' })
    t.equal(response.status, 200, path)
    if (!/\.(js|css)$/.test(path) && path !== '/') return
    t.equal(response.headers['content-encoding'], 'gzip', path)
    if (path !== '/') weights[path] = response.body.length
    // Whatever it names may be loaded one day
    const text = gunzipSync(response.body).toString()
    for (const [, name = ''] of text.matchAll(/["'(](?:assets|\.)\/([\w.-]+-[A-Z0-9]{8}\.\w+)/g)) {
      await weigh(`/assets/${name}`)
    }
  }
  await weigh('/')
  t.ok(Object.keys(weights).length >= 4, 'the viewer, which comes later, is among them')
  const sum = Object.values(weights).reduce((all, one) => all + one, 0)
  t.comment(`gzip: ${sum} bytes, ${JSON.stringify(weights)}`)
  t.ok(sum <= BUDGET, `${sum} bytes of ${BUDGET}`)
})

t.test('files with a hash in their name are kept for good, and the page is asked for again', async (t) => {
  const server = await serverOn(t, await diskStore(t))
  const page = await get(server, '/')
  const script = `/${/src="(assets\/main-[^"]+\.js)"/.exec(page.body.toString())?.[1]}`
  for (const [coding, accepted] of [
    ['br', 'gzip, deflate, br'],
    ['gzip', 'gzip, br;q=0'],
    [undefined, 'identity'],
  ] as const) {
    for (const path of ['/', script]) {
      const headers = { 'accept-encoding': accepted }
      const response = await get(server, path, headers)
      t.equal(response.headers['content-encoding'], coding, `${path} as ${accepted}`)
      t.equal(response.headers.vary, 'accept-encoding')
      t.equal(Number(response.headers['content-length']), response.body.length)
      if (path === script) t.equal(response.headers['cache-control'], 'public, max-age=31536000, immutable')
      const again = await get(server, path, { ...headers, 'if-none-match': String(response.headers.etag) })
      t.same([again.status, again.body.length], [304, 0])
      const head = await send(server, 'HEAD', path, { headers })
      t.same([head.status, head.body.length], [200, 0])
      t.equal(head.headers['content-length'], response.headers['content-length'])
      t.equal(head.headers.etag, response.headers.etag)
    }
  }
  isError(t, await get(server, '/assets/nothing.js'), 404, /There is no route GET/)
  isError(t, await send(server, 'POST', '/'), 405, /only GET and HEAD/)
})
