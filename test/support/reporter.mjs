import { Transform } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'
import { Parser } from 'tap-parser'

/**
 * Prints the result of a test run for people: a line for each test file that is over, what failed in it, and a summary. tap starts it by
 * its default export.
 */
export default class Reporter extends Transform {
  #parser = new Parser()
  #failures = ''
  #passed = 0
  #failed = 0
  /** How many assertions were left out, by reason. @type {Map<string, number>} */
  #skipped = new Map()

  constructor() {
    super()
    this.#parser.on('child', (file) => this.#follow(file))
    this.#parser.on('assert', ({ ok, name, time, diag, skip }) => {
      // A process that was killed, whatever had failed before; or one that ended without a word
      if (!ok && (diag?.signal || this.#failures === '')) this.#fail(name, diag)
      if (skip) this.#skip(skip)
      this.push(`${ok ? 'passed' : 'FAILED'}  ${name}  ${(time / 1000).toFixed(1)} s\n${this.#failures}`)
      this.#failures = ''
    })
  }

  #follow(test) {
    test.on('bailout', (reason) => this.#fail(`${test.fullname} gave up`, { reason }))
    test.on('child', (child) => this.#follow(child))
    test.on('assert', ({ ok, fullname, diag, skip, closingTestPoint }) => {
      // It repeats what its assertions have said
      if (closingTestPoint) return
      if (skip) this.#skip(skip)
      else if (ok) this.#passed += 1
      else this.#fail(fullname, diag)
    })
  }

  #skip(reason) {
    this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1)
  }

  #fail(name, diag) {
    this.#failed += 1
    this.#failures += `\n  ${name}\n${detailOf(diag)}\n\n`
  }

  _transform(chunk, _encoding, done) {
    this.#parser.write(chunk)
    done()
  }

  _flush(done) {
    this.#parser.once('complete', ({ time }) => {
      // Of a run that was given up
      this.push(this.#failures)
      for (const [reason, count] of this.#skipped) this.push(`Left out, ${count} times: ${reason}\n`)
      this.push(`${this.#passed} passed, ${this.#failed} failed${time ? `, ${Math.round(time / 1000)} s` : ''}\n`)
      done()
    })
    this.#parser.end()
  }
}

function detailOf(diag) {
  const { at, diff, stack, source: _, ...rest } = diag ?? {}
  const place = at?.fileName ? `${at.fileName}:${at.lineNumber}\n` : ''
  const more = diff ?? (Object.keys(rest).length > 0 ? JSON.stringify(rest, null, 2) : '')
  return stripVTControlCharacters(`${place}${more}\n${stack ?? ''}`)
    .trim()
    .replace(/^/gm, '      ')
}
