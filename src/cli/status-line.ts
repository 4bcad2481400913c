/** The least time between two states of the line, in milliseconds. */
const PAUSE_MS = 100

/** The last line of a terminal, which shows the progress of a command. Shows nothing if standard error is not a terminal. */
export class StatusLine {
  #next = 0
  #hasEnded = false

  /** Shows a text, cut to the width of the terminal, unless the one before is less than `PAUSE_MS` old. */
  show(text: () => string): void {
    if (this.#hasEnded || !process.stderr.isTTY || performance.now() < this.#next) return
    this.#next = performance.now() + PAUSE_MS
    process.stderr.write(`\r\x1b[K${text().slice(0, (process.stderr.columns || 80) - 1)}`)
  }

  clear(): void {
    if (this.#next > 0) process.stderr.write('\r\x1b[K')
    this.#next = 0
  }

  /** Clears the line, and shows nothing from now on. */
  end(): void {
    this.clear()
    this.#hasEnded = true
  }
}
