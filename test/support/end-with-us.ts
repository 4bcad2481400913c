import type { ChildProcess } from 'node:child_process'

const children = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

/** Kills a child process when this process ends. */
export function endWithUs(child: ChildProcess): void {
  children.add(child)
  child.once('close', () => children.delete(child))
}
