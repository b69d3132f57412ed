import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/**
 * The program as it is shipped: a few files with the libraries in them. It starts sooner, because Node opens ten files
 * instead of three hundred, and installing it installs one library: 1Password's, which reads a WASM file from its own
 * folder and so cannot be put in here. The program that loads it is a second one, started when it is needed.
 */
export default {
  input: { cli: 'src/cli.ts', 'onepassword-child': 'src/stores/onepassword-child.ts' },
  platform: 'node',
  external: [/^node:/, '@1password/sdk'],
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
    // Some name several, in the form of before SPDX.
    const kind = [license].flat().map(one => one.type ?? one)
    return `${name} ${version} (${kind.join(' or ')})\n\n${licenceIn(name, folder)}\n`
  })
  this.emitFile({ type: 'asset', fileName: 'LICENSES.txt', source: texts.join(`\n${'-'.repeat(80)}\n\n`) })
}

/** A package's licence file, or the chapter of its README that has the whole text: some old packages have only that. */
function licenceIn(name, folder) {
  const read = pattern => {
    const file = readdirSync(folder).find(entry => pattern.test(entry))
    return file === undefined ? '' : readFileSync(resolve(folder, file), 'utf8').trim()
  }
  const licence = read(/^licen[cs]e/i)
  if (licence !== '') return licence
  const chapter =
    /^(?:#+ *licen[cs]e *|licen[cs]e *\n-+ *)\n(.*)/ims.exec(read(/^readme/i))?.[1]?.trim() ?? ''
  if (!/copyright/i.test(chapter) || !/permission is hereby granted|redistribution and use/i.test(chapter))
    throw new Error(`${name} has no licence file, and none in its README`)
  return chapter
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
