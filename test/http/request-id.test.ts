import t from 'tap'
import { requestId } from '../../src/http/plugins/request-log.ts'
import { startApp } from '../support/app.ts'

t.test('every answer has an id, of routes and of errors alike', async (t) => {
  const { url } = await startApp(t)
  const ids = new Set<string | null>()
  for (const path of ['/livez', '/api/v1/images', '/nowhere', '/api/v1/images/%zz', '/api/v1/images/x']) {
    const response = await fetch(url + path)
    await response.arrayBuffer()
    t.match(response.headers.get('x-request-id'), /^[0-9a-f-]{36}$/, path)
    t.equal(response.headers.get('x-content-type-options'), 'nosniff', path)
    ids.add(response.headers.get('x-request-id'))
  }
  t.equal(ids.size, 5, 'each its own')
})

t.test('the id that a proxy gave a request comes back', async (t) => {
  const { url } = await startApp(t)
  const given = { 'x-request-id': 'Root=1-67891233-abcdef012345678912345678'.replace('=', ':') }
  const response = await fetch(`${url}/livez`, { headers: given })
  await response.arrayBuffer()
  t.equal(response.headers.get('x-request-id'), given['x-request-id'])
})

t.test('an id that is not fit for a log is replaced', async (t) => {
  for (const given of ['', ' ', 'a b', 'a\nb', 'x'.repeat(65), '{"a":1}', 'ü', ['a', 'b']]) {
    t.match(requestId({ headers: { 'x-request-id': given as string } }), /^[0-9a-f-]{36}$/)
  }
  t.equal(requestId({ headers: { 'x-request-id': 'x'.repeat(64) } }), 'x'.repeat(64))
})
