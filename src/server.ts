import { failToStart, serve } from './serve.ts'

serve().catch(failToStart)
