import { Validator } from '@seriousme/openapi-schema-validator'
import t from 'tap'
import { filePart, multipart, smallImage, startApp } from '../support/app.ts'

const CDN = 'https://img.example.org/app'
const image = await smallImage()

async function upload(url: string): Promise<{ story_id: string; image_paths: string[] }> {
  const response = await fetch(`${url}/api/v1/images/upload`, {
    method: 'POST',
    headers: { 'content-type': 'multipart/form-data; boundary=XX' },
    body: Uint8Array.from(multipart([filePart(image)])),
  })
  return (await response.json()) as { story_id: string; image_paths: string[] }
}

t.test('signed URLs are below PUBLIC_IMAGE_URL, and the server takes what the CDN sends on', async (t) => {
  const server = await startApp(t, {
    PRIVATE_IMAGES: 'true',
    SIGNING_SECRETS: 's'.repeat(32),
    PUBLIC_IMAGE_URL: CDN,
  })
  const { image_paths: paths } = await upload(server.url)
  t.match(paths[0], /^\/images\/stories\//, 'the JSON of the contract has paths')
  const signed = await fetch(`${server.url}/api/v1/signed-urls`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ paths }),
  })
  const { urls } = (await signed.json()) as { urls: string[] }
  t.ok(urls[0]?.startsWith(`${CDN}${paths[0]}?expires=`))
  const sentOn = (urls[0] ?? '').slice(CDN.length)
  t.equal((await fetch(server.url + sentOn)).status, 200)
  t.equal((await fetch(`${server.url}${sentOn}x`)).status, 403)
})

t.test(
  'the pages may load images from its origin and from no other, and without it from the server alone',
  async (t) => {
    const policies = async (options: Record<string, string>) => {
      const server = await startApp(t, options)
      const html = await (await fetch(server.url)).text()
      const settings = /name="?settings"? content="([^"]*)"/.exec(html)?.[1]?.replaceAll('&quot;', '"') ?? ''
      const policies = ['/', '/docs'].map(async (path) =>
        (await fetch(server.url + path)).headers
          .get('content-security-policy')
          ?.split('; ')
          .filter((part) => /^(img|connect|script)-src/.test(part)),
      )
      return { imageUrl: JSON.parse(settings).imageUrl, policies: await Promise.all(policies) }
    }
    t.same(await policies({ PUBLIC_IMAGE_URL: CDN }), {
      imageUrl: CDN,
      policies: [
        [
          "script-src 'self'",
          "img-src 'self' https://img.example.org blob:",
          "connect-src 'self' https://img.example.org",
        ],
        [
          "script-src 'self'",
          "img-src 'self' https://img.example.org data: blob:",
          "connect-src 'self' https://img.example.org",
        ],
      ],
    })
    t.same(await policies({}), {
      imageUrl: '',
      policies: [
        ["script-src 'self'", "img-src 'self' blob:", "connect-src 'self'"],
        ["script-src 'self'", "img-src 'self' data: blob:", "connect-src 'self'"],
      ],
    })
  },
)

t.test('the OpenAPI document names the CDN as a server of images, and of nothing else', async (t) => {
  const documentOf = async (options: Record<string, string>) =>
    (await fetch(`${(await startApp(t, options)).url}/openapi.json`)).json() as Promise<{
      servers: unknown
      paths: Record<string, { servers?: { url: string }[] }>
    }>
  const document = await documentOf({ PUBLIC_IMAGE_URL: CDN })
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  t.ok(valid, JSON.stringify(errors))
  t.same(document.servers, [{ url: '.' }])
  const named = Object.entries(document.paths).filter(([, { servers }]) => servers)
  t.same(
    named.map(([path, { servers }]) => [path, servers?.map(({ url }) => url)]),
    [['/images/stories/{story_id}/{name}', [CDN, '.']]],
  )
  const plain = await documentOf({})
  t.notOk(Object.values(plain.paths).some(({ servers }) => servers))
})
