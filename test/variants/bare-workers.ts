/** Imported by tests that start workers in this process: they start twice as fast without what tap loads into each process. */
process.execArgv = ['--import=./build/typescript.mjs']
