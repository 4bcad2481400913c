/**
 * Decisions on how something is made: a number from 0 up to 1 for each question, drawn when it is first asked. A child has the numbers of
 * its parent except for a few, so the two differ little, and a search can climb.
 */
export class Genes {
  readonly #values: Map<string, number>
  readonly #random: () => number
  /** What the questions were answered with, for a report. */
  readonly choices: Record<string, unknown> = {}

  constructor(random: () => number, values: ReadonlyMap<string, number> = new Map()) {
    this.#random = random
    this.#values = new Map(values)
  }

  /** Draws anew one to three of the numbers that counted, each anywhere or near where it was. */
  child(): Genes {
    const child = new Genes(this.#random, this.#values)
    const names = [...this.#values.keys()].filter((name) => name in this.choices)
    for (let changes = 1 + Math.floor(this.#random() * 3); changes > 0; changes--) {
      const name = names[Math.floor(this.#random() * names.length)] as string
      const near = (this.#values.get(name) as number) + (this.#random() - 0.5) / 5
      child.#values.set(name, this.#random() < 0.5 ? this.#random() : Math.min(0.999_999, Math.max(0, near)))
    }
    return child
  }

  chance(name: string, share: number): boolean {
    return this.#note(name, this.#value(name) < share)
  }

  oneOf<T>(name: string, items: readonly T[]): T {
    return this.#note(name, items[Math.floor(this.#value(name) * items.length)] as T)
  }

  /** Each order of magnitude as often as the next. */
  size(name: string, least: number, most: number): number {
    return this.#note(name, least * (most / least) ** this.#value(name))
  }

  #value(name: string): number {
    const value = this.#values.get(name) ?? this.#random()
    this.#values.set(name, value)
    return value
  }

  #note<T>(name: string, choice: T): T {
    this.choices[name] = choice
    return choice
  }
}
