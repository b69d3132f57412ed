#!/usr/bin/env node
// Nothing is imported before the version is known: an old Node then says this sentence instead of a syntax error.
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if ((major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22) {
  const { main } = await import('../dist/src/cli.js')
  await main()
} else {
  process.stderr.write(
    `create-openclaw-secure needs Node ^20.19.0 or >=22.12.0; this is ${process.version}.\n`,
  )
  process.exitCode = 2
}
