const DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)'
const LONG_DAY = '(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day'
const MONTH = '(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)'
const TIME = '\\d\\d:\\d\\d:\\d\\d'

/** The format that is sent today, and the two obsolete ones that recipients have to accept as well. */
const FORMATS = [
  `${DAY}, \\d\\d ${MONTH} \\d{4} ${TIME} GMT`,
  `${LONG_DAY}, \\d\\d-${MONTH}-\\d\\d ${TIME} GMT`,
  `${DAY} ${MONTH} [ \\d]\\d ${TIME} \\d{4}`,
]
const HTTP_DATE = new RegExp(`^(?:${FORMATS.join('|')})$`)

/**
 * Parses an HTTP-date (RFC 9110 section 5.6.7). `Date.parse` alone accepts many texts that are not HTTP-dates, and reads the third
 * format as local time.
 *
 * @returns milliseconds since 1970; undefined for any other text
 */
export function parseHttpDate(text: string): number | undefined {
  if (!HTTP_DATE.test(text)) return undefined
  const time = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`)
  return Number.isNaN(time) ? undefined : time
}
