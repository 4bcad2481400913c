/**
 * Returns whether a text has coordinates in it, which apps write into descriptions, comments and keywords: machine tags (`geo:lat=47.9`),
 * `geo:` URIs (RFC 5870), numbers after a name (`"MAPLatitude": 47.9`), degrees (`47° 59' N`), two decimal numbers with a comma, and links to
 * maps. Takes linear time.
 *
 * @param text one character for each byte, or decoded
 */
export function hasCoordinates(text: string): boolean {
  return COORDINATES.test(text)
}

/** The degree sign is one character, or two bytes of UTF-8. */
const COORDINATES = new RegExp(
  [
    String.raw`\bgeo:\s?(?:lat|lon|lng|alt|geohash|[-+]?\d)|\bgeohash:`,
    String.raw`(?:(?<![a-z])(?:lat|lon|lng)|latitude|longitude)["']?\s?[:=]\s?["']?[-+]?\d`,
    String.raw`\d(?:\u00c2?\u00b0)[^a-z\u00b0]{0,24}[NSEW](?![a-z])`,
    String.raw`(?<![\d.,]\s?)\d{1,2}\.\d{4,12},\s?[-+]?\d{1,3}\.\d{4,12}(?!\d|\s?,|\.\d)`,
    String.raw`\bmaps\b[^\s"'<>]{0,100}\d\.\d{3,12}(?:,|%2c)[-+]?\d`,
  ].join('|'),
  'i',
)
