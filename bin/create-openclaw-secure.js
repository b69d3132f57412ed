#!/usr/bin/env node
// Nothing of the program is loaded before the version is known: an old Node then says this sentence instead of a
// syntax error.
import { existsSync, readFileSync } from 'node:fs'

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
const help = new URL('../dist/help.txt', import.meta.url)
if (!((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22)) {
  process.stderr.write(
    `create-openclaw-secure needs Node ^20.19.0 or >=22.12.0; this is ${process.version}.\n`,
  )
  process.exitCode = 2
} else if (process.argv.length === 3 && process.argv[2] === '--help' && existsSync(help)) {
  // The build has asked the program for it already.
  process.stdout.write(readFileSync(help))
} else {
  const { main } = await import('../dist/cli/cli.js')
  await main()
}
