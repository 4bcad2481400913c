import openapiTypes, { astToString } from 'openapi-typescript'
import { chartFiles } from '../../build/chart.ts'
import { buildApp } from '../../src/app.ts'
import { readConfig } from '../../src/config.ts'
import { openMemoryStore } from '../attack/memory-store.ts'

const HEADER = '// Made by `npm run generate` from docs/openapi.json, by openapi-typescript\n\n'

/** A server with every route: with keys, tickets and private images. All else is as by default. */
const WHOLE = {
  LOG_LEVEL: 'silent',
  API_KEYS: `example:read+write+delete+delete-all:${'0'.repeat(64)}`,
  SIGNING_SECRETS: 'only-for-the-document-never-signs-anything',
  PRIVATE_IMAGES: 'true',
}

/** What a server says at `/openapi.json`. */
export async function documentOf(environment: Readonly<Record<string, string>> = WHOLE): Promise<string> {
  const app = await buildApp(readConfig({ LOG_LEVEL: 'silent', ...environment }), openMemoryStore())
  const { statusCode, body } = await app.inject('/openapi.json')
  await app.close()
  if (statusCode !== 200) throw new Error(`The document was answered ${statusCode}: ${body}`)
  return body
}

/** The committed files that are made of others, by their paths in the repository. */
export async function generatedFiles(): Promise<Readonly<Record<string, string>>> {
  const document = JSON.parse(await documentOf())
  return {
    'docs/openapi.json': `${JSON.stringify(document, null, 2)}\n`,
    'packages/client/src/api.ts': HEADER + astToString(await openapiTypes(document)),
    ...(await chartFiles()),
  }
}
