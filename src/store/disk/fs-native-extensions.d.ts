/** What is used of it; it comes without types. */
declare module 'fs-native-extensions' {
  /**
   * Locks the whole file for the open file, without waiting.
   *
   * @returns false when another open file has it locked
   */
  export function tryLock(fd: number): boolean
}
