import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The absolute path of a file that comes with this package, from its sources, `dist` and the bundle alike. A file that is
 * not there gets a path too: whoever opens it says what is missing.
 */
export function packageFile(path: string): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(resolve(folder, path)) && folder !== dirname(folder)) folder = dirname(folder)
  return resolve(folder, path)
}
