// For `npm run dev`: the server from its sources, and the pages built anew. Node.js starts this again after each change.
import { buildPages } from './pages.ts'

await buildPages()
await import('../src/cli/server.ts')
