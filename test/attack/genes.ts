/**
 * Decisions on how to make something: for each a number from 0 up to 1, drawn when it is first needed. A child differs from its parent in
 * a few of them, so a search can climb.
 */
export class Genes {
  readonly #values: Map<string, number>
  readonly #random: () => number
  /** The value of each gene, for a report. */
  readonly choices: Record<string, unknown> = {}

  constructor(random: () => number, values: ReadonlyMap<string, number> = new Map()) {
    this.#random = random
    this.#values = new Map(values)
  }

  /** Makes a copy in which one to three of the genes that were used are drawn again, anywhere or near the old value. */
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

  /** Draws a number with a random order of magnitude. */
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
