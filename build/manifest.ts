import { EXTERNAL } from './server.ts'

/** What a package.json has of what is used here. */
export interface Manifest {
  readonly [member: string]: unknown
  readonly dependencies: Readonly<Record<string, string>>
}

/**
 * Returns the package.json of the built server: its dependencies are those that are not in the bundle. With the others four times as much
 * would be installed, of which nothing is loaded.
 *
 * @param manifest the repository's, which is private so that nobody publishes the sources by mistake
 */
export function builtManifest(manifest: Manifest): Manifest {
  const {
    private: _private,
    scripts: _scripts,
    devDependencies: _development,
    overrides: _overrides,
    workspaces: _workspaces,
    ...rest
  } = manifest
  const dependencies = Object.fromEntries(
    Object.entries(manifest.dependencies).filter(([name]) => EXTERNAL.includes(name)),
  )
  return { ...rest, dependencies }
}
