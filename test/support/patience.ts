/** How long a test waits for what has to happen, in milliseconds. Only a test that fails waits that long, so it says nothing of speed. */
export const PATIENCE = 300_000
