/** Why a command ends before it is done. */
export class Stopped extends Error {}

/** Arguments or settings that can't be used; the message says which, and what is allowed. */
export class UsageError extends Error {}
