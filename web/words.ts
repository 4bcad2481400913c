/** The languages of the browser, without names that are not language tags (`C`, `en-US@posix`), for which Intl throws. */
const HERE = navigator.languages.filter((name) => {
  try {
    return Intl.getCanonicalLocales(name).length > 0
  } catch {
    return false
  }
})
const DAY_MS = 86_400_000

const time = new Intl.DateTimeFormat(HERE, { timeStyle: 'short' })
const date = new Intl.DateTimeFormat(HERE, { day: 'numeric', month: 'short', year: 'numeric' })
const full = new Intl.DateTimeFormat(HERE, { dateStyle: 'long', timeStyle: 'short' })

/** Returns a date that fits into a tile, with the time only for today and yesterday. */
export function shortDate(created: string): string {
  const then = new Date(created)
  const midnight = new Date().setHours(0, 0, 0, 0)
  if (then.getTime() >= midnight) return `Today, ${time.format(then)}`
  if (then.getTime() >= midnight - DAY_MS) return `Yesterday, ${time.format(then)}`
  return date.format(then)
}

export function fullDate(created: string): string {
  return full.format(new Date(created))
}

export function images(count: number): string {
  return count === 1 ? '1 image' : `${count} images`
}

/** Returns a size as the server writes limits: `50 MiB`. */
export function size(bytes: number): string {
  const [unit, of] = bytes >= 2 ** 20 ? (['MiB', 2 ** 20] as const) : (['KiB', 2 ** 10] as const)
  const count = bytes / of
  return `${count < 10 && count % 1 !== 0 ? count.toFixed(1) : Math.ceil(count)} ${unit}`
}

export function percent(part: number): string {
  return `${Math.floor(part * 100)} %`
}
