import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/**
 * The program as it is shipped: a few files with all libraries in them. Installing it installs nothing else, and it
 * starts sooner, because Node opens ten files instead of three hundred.
 */
export default {
  input: 'src/cli.ts',
  platform: 'node',
  external: /^node:/,
  output: { dir: 'dist/cli', format: 'esm', cleanDir: true },
  plugins: [{ name: 'licences', generateBundle: licences }],
}

/** The licence of every library that went in, as each of them asks. */
function licences(_, bundle) {
  const folders = new Set(
    Object.values(bundle)
      .flatMap(file => Object.keys(file.modules ?? {}))
      .filter(path => path.includes('node_modules'))
      .map(packageOf),
  )
  const texts = [...folders].sort().map(folder => {
    const { name, version, license } = JSON.parse(readFileSync(resolve(folder, 'package.json'), 'utf8'))
    const file = readdirSync(folder).find(entry => /^licen[cs]e/i.test(entry))
    if (file === undefined) throw new Error(`${name} has no licence file`)
    return `${name} ${version} (${license})\n\n${readFileSync(resolve(folder, file), 'utf8').trim()}\n`
  })
  this.emitFile({ type: 'asset', fileName: 'LICENSES.txt', source: texts.join(`\n${'-'.repeat(80)}\n\n`) })
}

/** The folder of the package a file belongs to: the nearest one above it whose package.json has a version. */
function packageOf(path) {
  let folder = dirname(path.replace(/^\0/, '').replace(/\?.*$/, ''))
  const isPackage = () =>
    existsSync(resolve(folder, 'package.json')) &&
    JSON.parse(readFileSync(resolve(folder, 'package.json'), 'utf8')).version !== undefined
  while (!isPackage()) folder = dirname(folder)
  return folder
}
