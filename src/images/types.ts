export type ImageType = 'jpg' | 'png' | 'gif' | 'webp' | 'avif'

/** The media type of each image type (IANA registry, image/*). */
export const CONTENT_TYPES: Readonly<Record<ImageType, string>> = {
  jpg: 'image/jpeg',
  png: 'image/png',
  gif: 'image/gif',
  webp: 'image/webp',
  avif: 'image/avif',
}

/** An EXIF orientation (tag 0x0112): 1 is upright, 2 to 4 are mirrored or upside down, 5 to 8 include a quarter turn. */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8

/** In pixels. */
export interface Size {
  readonly width: number
  readonly height: number
}

/** The header of an image, with its size as stored. */
export interface Header extends Size {
  /** How to turn what the decoder returns. */
  readonly orientation: Orientation
}

/** The type of an image, and its size as displayed, of 1 or more in each direction. */
export interface ImageInfo extends Size {
  /** Also the file name extension. */
  readonly type: ImageType
  readonly orientation: Orientation
}

/** What to remove from an image: every position, or all metadata that the picture does not need. */
export type Stripped = 'location' | 'all'
