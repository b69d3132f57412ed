#!/usr/bin/env node
// Written in the oldest JavaScript any Node understands, so that an old Node says this sentence
// and not a syntax error.
var version = process.versions.node.split('.').map(Number)
var enough = (version[0] === 20 && version[1] >= 19) || (version[0] === 22 && version[1] >= 12) || version[0] > 22
if (!enough) {
  process.stderr.write('create-openclaw-secure needs Node ^20.19.0 or >=22.12.0; this is ' + process.version + '.\n')
  process.exitCode = 2
} else {
  import('../dist/src/cli.js').then(function (cli) {
    return cli.main()
  })
}
