import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { extname } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import type { FastifyPluginAsync } from 'fastify'
import { parseSize } from '../../layout/variant.ts'
import { PAGES } from '../../version.ts'
import { type CachedAsset, etagOf, pageHeaders, sendAsset } from '../send/cached-asset.ts'
import { allowedSizes } from '../variant-request.ts'

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
}

/** Makes the page a few hundred bytes larger, and each start 13 ms shorter. */
const FAST = { params: { [constants.BROTLI_PARAM_QUALITY]: 5 } }

/** Serves the gallery at `/` and its files, a few hundred kilobytes, from memory. Adds no route if the pages are not built. */
export const galleryRoutes: FastifyPluginAsync = async (app) => {
  if (!existsSync(new URL('index.html', PAGES))) return
  const { MAX_FILE_SIZE, MAX_FILES, PRIVATE_IMAGES, PUBLIC_IMAGE_URL, S3_BUCKET, TRASH_RETENTION } = app.config
  const { widths, crops } = allowedSizes(app.config)
  const settings = {
    maxFileSize: MAX_FILE_SIZE,
    maxFiles: MAX_FILES,
    privateImages: PRIVATE_IMAGES,
    deletesForGood: S3_BUCKET === undefined && TRASH_RETENTION === 0,
    imageUrl: PUBLIC_IMAGE_URL ?? '',
    widths: widths.map(Number).sort((a, b) => a - b),
    crops: crops.map(parseSize).sort((a, b) => a.width - b.width),
  }
  const html = await readFile(new URL('index.html', PAGES), 'utf8')
  const page = Buffer.from(html.replace('{{settings}}', JSON.stringify(settings).replaceAll('"', '&quot;')))
  serve('/', {
    // Images that are about to be uploaded
    headers: pageHeaders(['blob:'], PUBLIC_IMAGE_URL),
    etag: etagOf(page),
    plain: page,
    coded: { br: brotliCompressSync(page, FAST), gzip: gzipSync(page) },
  })

  const names = await readdir(new URL('assets/', PAGES))
  for (const name of names) {
    const type = TYPES[extname(name)]
    if (type === undefined) continue
    const read = (suffix = '') => readFile(new URL(`assets/${name}${suffix}`, PAGES))
    const plain = await read()
    serve(`/assets/${name}`, {
      headers: { 'content-type': type, 'cache-control': 'public, max-age=31536000, immutable' },
      etag: etagOf(plain),
      plain,
      coded: names.includes(`${name}.br`) ? { br: await read('.br'), gzip: await read('.gz') } : {},
    })
  }

  function serve(url: string, asset: CachedAsset): void {
    app.route({
      method: ['GET', 'HEAD'],
      url,
      schema: { hide: true, operationId: 'gallery' },
      config: { cors: false },
      handler: (request, reply) => sendAsset(asset, request, reply),
    })
  }
}
