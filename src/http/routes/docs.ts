import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyPluginAsync } from 'fastify'
import { PAGES } from '../../package.ts'
import { etagOf, type KeptFile, pageHeaders, sendKept } from '../kept-file.ts'

const BUILT = new URL('docs/', PAGES)

/** Swagger UI has pictures in its style sheet, and shows an image that it was answered with as a blob. */
const HTML = pageHeaders('data:', 'blob:')
const SCRIPT = { 'content-type': 'text/javascript; charset=utf-8' }
const STYLE = { 'content-type': 'text/css; charset=utf-8' }

const FILES: readonly (readonly [url: string, name: string, headers: Readonly<Record<string, string>>])[] = [
  ['/docs', 'index.html', HTML],
  ['/docs/start.js', 'start.js', SCRIPT],
  ['/docs/swagger-ui-bundle.js', 'swagger-ui-bundle.js', SCRIPT],
  ['/docs/swagger-ui.css', 'swagger-ui.css', STYLE],
]

/**
 * Swagger UI at `/docs`, which reads `/openapi.json`. Its files come from here and are read when somebody asks for them, so that
 * they cost no start anything. Where nothing was built there is no such route.
 */
export const docsRoutes: FastifyPluginAsync = async (app) => {
  if (!existsSync(BUILT)) return
  // What the page names lies beside it
  app.route({
    method: ['GET', 'HEAD'],
    url: '/docs/',
    schema: { hide: true, operationId: 'docs' },
    config: { cors: false },
    handler: (_request, reply) => reply.code(308).header('location', '../docs').send(),
  })
  for (const [url, name, headers] of FILES) {
    let file: Promise<KeptFile> | undefined
    app.route({
      method: ['GET', 'HEAD'],
      url,
      schema: { hide: true, operationId: 'docs' },
      config: { cors: false },
      handler: async (request, reply) => {
        file ??= read(name, headers)
        // A file that could not be read may be there the next time
        file.catch(() => {
          file = undefined
        })
        return sendKept(await file, request, reply)
      },
    })
  }
}

async function read(name: string, headers: KeptFile['headers']): Promise<KeptFile> {
  const plain = await readFile(new URL(name, BUILT))
  return {
    headers: { ...headers, 'cache-control': 'no-cache' },
    etag: etagOf(plain),
    plain,
    coded: { gzip: await promisify(gzip)(plain) },
  }
}
