/** The bytes of an image for the decoder, and what it cannot read from them. */
export interface Source {
  readonly bytes: Buffer
  /** Place of the frame on the canvas, whose rest is transparent; the top left by default. */
  readonly place?: { readonly left: number; readonly top: number }
  /** Number of the page with the first frame; 0 by default. */
  readonly firstPage?: number
  /** Whether colours are multiplied by their alpha. */
  readonly isPremultiplied?: boolean
  /** What the decoder does not accept; errors by default. */
  readonly failOn?: 'warning'
}
