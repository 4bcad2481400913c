/**
 * Prefix of the idempotency records, which say what upload an Idempotency-Key stands for.
 *
 *   idempotency/<name>.<n>       the record: the nth upload with this key has stored its images, and is about to write its commit record
 *   idempotency/<name>.<n>.end   how that ended
 *
 * Both are written only if they are not there yet, so of several writers one wins, and the others see who. Once an end says that an
 * upload is committed, the key stands for its story for good, even if the story is deleted later. Once it says that the upload was
 * given up, another upload may write the next record, and a commit record that still arrives finds no images.
 */
export const IDEMPOTENCY = 'idempotency/'
export const IDEMPOTENCY_NAME = /^([0-9a-f]{64})\.([1-9]\d{0,8})(\.end)?$/

/** Returns the key of the nth idempotency record of a name. */
export const idempotencyKey = (name: string, number: number) => `${IDEMPOTENCY}${name}.${number}`

/** Returns the key of the end of an idempotency record. */
export const endKey = (record: string) => `${record}.end`
