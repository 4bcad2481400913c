import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { addressIn, clientIdOf, proxyMatcher } from '../../src/http/limits/client-address.ts'
import { openDiskStore } from '../../src/store/disk/disk-store.ts'
import type { ObjectStore } from '../../src/store/object-store.ts'
import { eventually, smallImage, startApp, storyId } from '../support/app.ts'
import { sample } from '../support/extent.ts'
import { closedGate } from '../support/gate.ts'
import { makeFolder } from '../support/stores.ts'

t.test(
  'an address is read with a port, in brackets, with a zone, and as IPv4 where it is mapped to IPv6',
  async (t) => {
    for (const [text, address] of [
      ['192.0.2.1', '192.0.2.1'],
      ['192.0.2.1:50', '192.0.2.1'],
      ['[192.0.2.1]:50', '192.0.2.1'],
      ['::ffff:192.0.2.1', '192.0.2.1'],
      ['::FFFF:192.0.2.1', '192.0.2.1'],
      ['::ffff:c000:201', '192.0.2.1'],
      ['0:0:0:0:0:ffff:c000:0201', '192.0.2.1'],
      ['[::ffff:c000:201]:443', '192.0.2.1'],
      ['2001:db8::1', '2001:db8::1'],
      ['[2001:DB8::1]', '2001:db8::1'],
      ['[2001:db8::1]:65535', '2001:db8::1'],
      ['fe80::1%eth0', 'fe80::1'],
      ['[fe80::1%25en0]:80', 'fe80::1'],
      ['::ffff:1234', '::ffff:1234'],
      ['::', '::'],
    ] as const) {
      t.equal(addressIn(text), address, text)
    }
    for (const junk of [
      '',
      ' ',
      'unknown',
      '_hidden',
      'localhost',
      '192.0.2',
      '192.0.2.1.5',
      '192.0.2.256',
      '192.0.2.1:',
      '192.0.2.1:123456',
      '192.0.2.1:50:50',
      '192.0.2.01',
      '[2001:db8::1',
      '2001:db8::1]',
      '[]:80',
      '[2001:db8::1]:x',
      '2001:db8:::1',
      '192.0.2.1%eth0:50',
    ]) {
      t.equal(addressIn(junk), undefined, JSON.stringify(junk))
    }
    t.equal(addressIn(undefined), undefined)
  },
)

t.test('a client is an IPv4 address, or a /64 of IPv6', async (t) => {
  const ids = (...addresses: string[]) => new Set(addresses.map((address) => clientIdOf(addressIn(address) ?? '')))
  t.same(ids('192.0.2.1'), new Set(['192.0.2.1']))
  t.equal(ids('192.0.2.1', '192.0.2.2', '::ffff:192.0.2.3', '::ffff:c000:204').size, 4, 'IPv4 is never grouped')
  t.equal(ids('192.0.2.1', '::ffff:192.0.2.1', '[::ffff:c000:201]:7', '192.0.2.1:7').size, 1)
  t.same(
    ids(
      '2001:db8:1:2::',
      '2001:db8:1:2:3:4:5:6',
      '2001:0DB8:0001:2::ffff',
      '2001:db8:1:2:0:ffff:192.0.2.1',
      '[2001:db8:1:2::9]:1',
    ),
    new Set(['2001:db8:1:2::/64']),
  )
  t.equal(ids('2001:db8:1:2::1', '2001:db8:1:3::1', '2001:db8::1:2:0:0:1', '2001:db8:2::').size, 4, 'other networks')
  t.same(ids('::1', '::2', '::192.0.2.1'), new Set(['0:0:0:0::/64']))
  t.same(ids('1:2:3:4:5:6:7::', '1:2:3:4::'), new Set(['1:2:3:4::/64']))
  t.same(ids('::2:3:4:5:6:7:8'), new Set(['0:2:3:4::/64']))
  t.same(ids('fe80::1%eth0', 'fe80::2%eth1'), new Set(['fe80:0:0:0::/64']))
  t.same(ids('2002:c000:201::1', '2002:c000:201:ffff::1'), new Set(['192.0.2.1']), '6to4 is the IPv4 address in it')
  t.same(ids('64:ff9b::192.0.2.1', '64:ff9b::c000:202'), new Set(['192.0.2.1', '192.0.2.2']), 'and so is NAT64')
  t.same(ids('64:ff9b:1::192.0.2.1'), new Set(['64:ff9b:1:0::/64']), 'of its well-known prefix alone')
})

t.test('a proxy is recognized however its address is written', async (t) => {
  const isProxy = proxyMatcher(['10.0.0.0/8', '192.0.2.1', 'fd00::/8', '2001:db8::1', '::ffff:172.16.0.0/108'])
  for (const text of [
    '10.1.2.3',
    '10.1.2.3:443',
    '::ffff:10.1.2.3',
    '::ffff:a01:203',
    '192.0.2.1',
    'fd12::1',
    '[fd12::1]:443',
    '2001:db8::1',
    '172.31.0.1',
  ]) {
    t.ok(isProxy(text), text)
  }
  for (const text of ['11.0.0.1', '192.0.2.2', 'fe00::1', '2001:db8::2', '172.32.0.1', '::a01:203', 'unknown', '']) {
    t.notOk(isProxy(text), text)
  }
  const zeros = proxyMatcher(['::/8', '::ffff:0:0/90'])
  t.ok(zeros('::1'))
  t.notOk(zeros('192.0.2.1'), 'no short network of IPv6 has all of IPv4 in it')
})

const PROXIES = { TRUST_PROXY: '127.0.0.1, 10.0.0.0/8' }

t.test('limits count a client once, whatever port a proxy writes', async (t) => {
  const { url } = await startApp(t, { ...PROXIES, RATE_LIMIT: '2' })
  const ask = async (entries: string) =>
    (await fetch(`${url}/api/v1/images`, { headers: { 'x-forwarded-for': entries } })).status
  for (const [what, ...entries] of [
    ['ports', '192.0.2.1:1001', '192.0.2.1:1002', '192.0.2.1:1003'],
    ['no port', '192.0.2.2:1001', '192.0.2.2', '::ffff:c000:202'],
    ['IPv6 ports', '[2001:db8::1]:1001', '[2001:db8::1]:1002', '2001:db8::1'],
    [
      'a chain of proxies with ports',
      '6.6.6.6, 192.0.2.3:1, 10.0.0.1:443',
      '7.7.7.7, 192.0.2.3:2, 10.0.0.2:443',
      '192.0.2.3',
    ],
    ['what is not an address', 'unknown', 'x:1', '192.0.2.4, _9, 10.0.0.1'],
  ] as const) {
    const statuses: number[] = []
    for (const header of entries) statuses.push(await ask(header))
    t.same(statuses, [200, 200, 429], what)
  }
  t.equal(await ask('192.0.2.5:1001'), 200, 'another client is let in')
})

/** A server whose store does not come back from a call until it is told to. */
async function serveHeld(t: Test, method: 'list' | 'get' | 'head' | 'put') {
  const { opened, open: go } = closedGate()
  let calls = 0
  const hold = () => {
    calls += 1
    return opened
  }
  const disk = await openDiskStore(await makeFolder(t))
  const store: ObjectStore = {
    ...disk,
    ...(method === 'list'
      ? {
          async *list(options) {
            await hold()
            yield* disk.list(options)
          },
        }
      : {
          [method]: async (...args: never[]) => {
            await hold()
            return (disk[method] as (...args: never[]) => Promise<unknown>)(...args)
          },
        }),
  }
  const options = { LOG_LEVEL: 'silent', MAX_EVENT_LOOP_DELAY: '1m', UPLOAD_MEMORY: '48MiB' }
  const config = readConfig({ ...options, ...PROXIES })
  const app = await buildApp(config, store, { limits: { lists: 2, images: 2, waiting: 50, wait: 600_000 } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  t.teardown(() => {
    go()
    const closed = app.close()
    app.server.closeAllConnections()
    return closed
  })
  /** A gauge of the server. */
  const gauge = async (name: string, label: string) =>
    Number(new RegExp(`^story_images_${name}{${label}} (\\d+)`, 'm').exec(await app.metrics.text())?.[1] ?? 0)
  return { url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`, go, gauge, held: () => calls }
}

const image = await smallImage()
const IMAGE = `/images/stories/${storyId(1)}/1.png`

for (const { what, queue, operation, method, path, status } of sample(
  [
    { what: 'lists', queue: 'lists', operation: 'listImages', method: 'list', path: '/api/v1/images', status: 200 },
    { what: 'images', queue: 'images', operation: 'getImage', method: 'get', path: IMAGE, status: 404 },
    {
      what: 'uploads',
      queue: 'small_uploads',
      operation: 'uploadStory',
      method: 'put',
      path: '/api/v1/images/upload',
      status: 200,
    },
    { what: 'variants', queue: 'variants', operation: 'getImage', method: 'head', path: `${IMAGE}?w=160`, status: 404 },
  ] as const,
  1,
)) {
  t.test(`a client with 300 addresses of one /64 keeps nobody else from ${what}`, async (t) => {
    const { url, go, gauge, held } = await serveHeld(t, method)
    const ask = async (address: string) => {
      const form = new FormData()
      form.append('files', new Blob([new Uint8Array(image)]), 'a.png')
      const headers = { 'x-forwarded-for': address }
      const response = await fetch(url + path, { headers, ...(method === 'put' && { method: 'POST', body: form }) })
      await response.arrayBuffer()
      return response.status
    }
    const statuses: number[] = []
    const busy = Array.from({ length: 300 }, async (_, n) =>
      statuses.push(await ask(`2001:db8:1:2::${n.toString(16)}`)),
    )
    const waiting = () => gauge('queue_length', `queue="${queue}"`)
    const isFull = async () => {
      const running = await gauge('http_requests_running', `operation="${operation}"`)
      return running + statuses.length === 300 && running === held() + 50 && (await waiting()) === 50
    }
    t.ok(await eventually(isFull), 'its requests take all places, and fill the queue')
    let answer: number | undefined
    const other = ask('192.0.2.1').then((status) => {
      answer = status
    })
    const refused = statuses.length
    t.ok(await eventually(() => statuses.length > refused || answer !== undefined))
    t.equal(answer, undefined, 'another client is not refused')
    t.equal(await waiting(), 50, 'but waits in place of one of them')
    go()
    await Promise.all([other, ...busy])
    t.equal(answer, status)
    t.same([...new Set(statuses)].sort(), [...new Set([status, 503])].sort())
  })
}
