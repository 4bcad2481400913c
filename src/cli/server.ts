import { failToStart, serve } from '../main.ts'

serve().catch(failToStart)
