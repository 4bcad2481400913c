/** Between two states of the line, in milliseconds. */
const PAUSE_MS = 100

/** The last line of a terminal, which says how far a command is. Where standard error is no terminal there is none. */
export class StatusLine {
  #next = 0
  #hasEnded = false

  /** Shows a text that fits into the line, unless the one before is too fresh. */
  show(text: () => string): void {
    if (this.#hasEnded || !process.stderr.isTTY || performance.now() < this.#next) return
    this.#next = performance.now() + PAUSE_MS
    process.stderr.write(`\r\x1b[K${text().slice(0, (process.stderr.columns || 80) - 1)}`)
  }

  clear(): void {
    if (this.#next > 0) process.stderr.write('\r\x1b[K')
    this.#next = 0
  }

  /** Clears the line for good: what is still under way shows nothing any more. */
  end(): void {
    this.clear()
    this.#hasEnded = true
  }
}
