import { find } from './dom.ts'

interface Settings {
  /** The limit for one file, in bytes. */
  readonly maxFileSize: number
  /** The limit for one story. */
  readonly maxFiles: number
  /** Whether images need a signed URL. */
  readonly privateImages: boolean
  /** Whether the server keeps nothing of deleted stories. */
  readonly deletesForGood: boolean
  /** What goes before the path of an image; empty if this server serves them. */
  readonly imageUrl: string
  /** The widths of variants, the smallest first. */
  readonly widths: readonly number[]
  /** The sizes of variants that are cropped, the narrowest first. */
  readonly crops: readonly { readonly width: number; readonly height: number }[]
}

/** The settings that the server has written into the page. */
export const settings = JSON.parse(find<HTMLMetaElement>('meta[name=settings]').content) as Settings
