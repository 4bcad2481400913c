// For `node --import`: makes test processes, which live for seconds, cheaper.
//
// It takes away two things that tap does for its own coverage and for telling to which test a stray error belongs. They take a fifth of
// the processor time of a test, and double the time that a process needs to start. A stray error still fails its file.
import asyncHooks from 'node:async_hooks'
import { syncBuiltinESMExports } from 'node:module'
import { setFlagsFromString } from 'node:v8'
import processOnSpawn from 'process-on-spawn'

// Functions are optimized after eight times as much work as usual. Most of what a test runs is not worth it: a fifth to a quarter of the
// processor time of a file went there on Node.js 20. Later ones, which have a cheap optimizer and another name for this, gain nothing.
if (Number.parseInt(process.versions.node, 10) < 22) setFlagsFromString('--interrupt-budget=1056000')

// Hooks on every asynchronous call
asyncHooks.createHook = () => ({
  enable() {
    return this
  },
  disable() {
    return this
  },
})
syncBuiltinESMExports()

// What the SDK says on Node.js 20 is not about the tests
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'

// Hooks in every process that a test starts, and in every worker that the app starts in this process
processOnSpawn.removeAllListeners()
delete process.env.NODE_OPTIONS
process.execArgv = ['--import=./build/typescript.mjs']
