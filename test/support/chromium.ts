import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'
import tap from 'tap'
import type { Teardown } from './app.ts'

/** Chromium's shell without windows takes half the processor time of a whole browser. Nothing where there is neither. */
function findChromium(): string | undefined {
  const names = ['chromium-headless-shell', 'chrome-headless-shell', 'chromium', 'chromium-browser', 'google-chrome']
  const paths = names.flatMap((name) => (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, name)))
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

const executablePath = findChromium()

/** Why tests of a browser are left out, for `t.test`: there is none. With `CI` set they fail. */
export const skipWithoutChromium =
  executablePath === undefined && !process.env.CI ? 'there is no chromium in PATH' : false

/** A name that leads to this machine, in the browser of tests, as a name server that rebinds it says. */
export const EVIL = 'evil.example'

let shared: Promise<Browser> | undefined

/** The browser of this process, which is closed at its end: starting one takes as long as most tests of a page. */
export function openChromium(): Promise<Browser> {
  shared ??= launchChromium(tap, `--host-resolver-rules=MAP ${EVIL} 127.0.0.1`)
  return shared
}

/** A browser that is closed at the end of the test; with further arguments of its command line. */
export async function launchChromium(t: Teardown, ...args: readonly string[]): Promise<Browser> {
  if (executablePath === undefined) throw new Error('There is no chromium in PATH')
  const browser = await chromium.launch({
    executablePath,
    // Chromium does not start as root with a sandbox of its own
    chromiumSandbox: process.getuid?.() !== 0,
    // Pages of other hosts could not use one on this machine at all
    args: ['--disable-features=LocalNetworkAccessChecks', ...args],
  })
  t.teardown(() => browser.close())
  return browser
}
