import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyPluginAsync } from 'fastify'
import { PAGES } from '../../version.ts'
import { type CachedAsset, etagOf, pageHeaders, sendAsset } from '../send/cached-asset.ts'

const BUILT = new URL('docs/', PAGES)

const SCRIPT = { 'content-type': 'text/javascript; charset=utf-8' }
const STYLE = { 'content-type': 'text/css; charset=utf-8' }

/**
 * Serves Swagger UI at `/docs`, which reads `/openapi.json`. Reads its files when they are first requested, so that they do not delay the
 * start. Adds no route if the pages are not built.
 */
export const docsRoutes: FastifyPluginAsync = async (app) => {
  if (!existsSync(BUILT)) return
  // Swagger UI has images in its style sheet, and shows an image of a response as a blob
  const html = pageHeaders(['data:', 'blob:'], app.config.PUBLIC_IMAGE_URL)
  // The page names its files relative to `/docs`
  app.route({
    method: ['GET', 'HEAD'],
    url: '/docs/',
    schema: { hide: true, operationId: 'docs' },
    config: { cors: false },
    handler: (_request, reply) => reply.code(308).header('location', '../docs').send(),
  })
  for (const [url, name, headers] of [
    ['/docs', 'index.html', html],
    ['/docs/start.js', 'start.js', SCRIPT],
    ['/docs/swagger-ui-bundle.js', 'swagger-ui-bundle.js', SCRIPT],
    ['/docs/swagger-ui.css', 'swagger-ui.css', STYLE],
  ] as const) {
    let asset: Promise<CachedAsset> | undefined
    app.route({
      method: ['GET', 'HEAD'],
      url,
      schema: { hide: true, operationId: 'docs' },
      config: { cors: false },
      handler: async (request, reply) => {
        asset ??= read(name, headers)
        // Read a missing file again the next time
        asset.catch(() => {
          asset = undefined
        })
        return sendAsset(await asset, request, reply)
      },
    })
  }
}

async function read(name: string, headers: CachedAsset['headers']): Promise<CachedAsset> {
  const plain = await readFile(new URL(name, BUILT))
  return {
    headers: { ...headers, 'cache-control': 'no-cache' },
    etag: etagOf(plain),
    plain,
    coded: { gzip: await promisify(gzip)(plain) },
  }
}
