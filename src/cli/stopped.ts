/** The reason why a command ends early, such as a signal. */
export class Stopped extends Error {}

/** Arguments or settings that can't be used. The message says which, and what is allowed. */
export class UsageError extends Error {}
