/**
 * Compilers, added to the sandbox by name: they work, with the parts that they start by path, and what was not listed still
 * cannot be started; not even git, which is in every sandbox's image, with all its parts, and on the list of most.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { startablePrograms } from '../../src/gateway/approvals.ts'
import { SANDBOX } from '../../src/gateway/sandbox.ts'
import { Redactor } from '../../src/secret.ts'
import { containerOf, freshFolder, isThorough, remove } from './harness.ts'
import { type ScriptedModel, startScriptedModel } from './scripted-model.ts'
import { exec, setUpCoding, turnIn, write } from './turns.ts'

const folder = freshFolder('packages')
const packages = ['gcc', 'golang', 'libc6-dev']
const programs = ['as', 'gcc', 'go', 'ld']
let model: ScriptedModel
let sandbox = ''

// An image of its own is built for it.
beforeAll(async () => {
  if (!isThorough) return
  model = await startScriptedModel()
  const lists = ['--agent-package', packages.join(','), '--agent-program', programs.join(',')]
  const made = await setUpCoding(folder, model, lists)
  expect(made.code, made.stderr).toBe(0)
  sandbox = await containerOf(folder, SANDBOX.service)
}, 1_500_000)
afterAll(async () => {
  if (!isThorough) return
  model.close()
  await remove(folder)
})

describe.runIf(isThorough)('a sandbox with compilers, and without git', () => {
  it('compiles, and runs what was compiled', async () => {
    const patient = (command: string) => exec(command, { yieldMs: 120_000 })
    const answers = await turnIn(await containerOf(folder), model, [
      write('one.c', '#include <stdio.h>\nint main(void) { return puts("from C") < 0; }\n'),
      patient('gcc -o one one.c && ./one'),
      write('other.go', 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("from Go") }\n'),
      patient('go build -o other other.go && ./other'),
      patient('mkdir -p made && GOTMPDIR=$PWD/made go run other.go'),
    ])
    expect(answers[1]).toContain('from C')
    expect(answers[3]).toContain('from Go')
    expect(answers[4]).toContain('from Go')
  })

  it('threat: command injection: starts neither git nor a part of it, nor what came with a package and is not listed', async () => {
    const refused = [
      '/usr/bin/git --version',
      '/usr/lib/git-core/git --version',
      '/usr/lib/git-core/git-daemon -h',
      '/usr/bin/cpp --version',
    ]
    const tries = refused.map(command => `${command} >/dev/null 2>&1; echo "$? ${command}"`)
    const [answer] = await turnIn(await containerOf(folder), model, [exec(tries.join('; '))])
    // 126: it is there, and cannot be executed.
    expect(answer?.trim().split('\n').slice(0, refused.length)).toEqual(
      refused.map(command => `126 ${command}`),
    )
  })

  it('is read back as it is listed, and not as anything else', async () => {
    const docker = new Docker(processRunner(new Redactor(), process.env))
    expect(await startablePrograms(docker, sandbox, programs)).toEqual({ missing: [], extra: [] })
    const { missing, extra } = await startablePrograms(docker, sandbox, ['as', 'gcc', 'git', 'ld'])
    expect(missing).toEqual(['git'])
    expect(extra).toEqual([expect.stringMatching(/\/bin\/go$/)])
  })
})
