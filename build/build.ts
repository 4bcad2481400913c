import { fileURLToPath } from 'node:url'
import { buildClient } from './client.ts'
import { buildPages } from './pages.ts'
import { buildServer } from './server.ts'

const DIST = fileURLToPath(new URL('../dist/', import.meta.url))

await Promise.all([buildClient(), buildServer(DIST), buildPages()])
