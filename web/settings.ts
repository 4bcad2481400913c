import { find } from './dom.ts'

interface Settings {
  /** Bytes. */
  readonly maxFileSize: number
  /** Of one story. */
  readonly maxFiles: number
  /** Whether images need a signed URL. */
  readonly privateImages: boolean
  /** In which the server makes images, the smallest first. */
  readonly widths: readonly number[]
}

/** What the server has written into the page about itself. */
export const settings = JSON.parse(find<HTMLMetaElement>('meta[name=settings]').content) as Settings
