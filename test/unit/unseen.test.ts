/** What a look at the engine and at this machine says, when something of it cannot be had. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Docker } from '../../src/docker/engine.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import type { Action, IncidentContext } from '../../steps/incident/context.ts'
import { engineAction } from '../../steps/incident/engine.ts'
import { hostAction } from '../../steps/incident/host.ts'
import { World } from './evidence-world.ts'
import { inTime } from './incident-world.ts'
import { ANSWERS } from './support.ts'

/** A program of a machine that has none of what is asked for. */
const nothing = (file: string): ReturnType<ProcessRunner> => {
  throw new ToolError('program_missing', `there is no ${file}`, '')
}

/** A machine whose engine refuses what is named, and whose other programs, its journal and its firewall, do as they are told. */
function deployment(refused = '', program: ProcessRunner = nothing) {
  const world = new World()
  const { layout } = world
  const run: ProcessRunner = async (file, args, options) => {
    const said = [file, ...args].join(' ')
    const { into } = options
    if (file !== 'docker') return program(file, args, options)
    if (refused !== '' && said.includes(refused)) return { code: 1, stdout: '', stderr: 'refused' }
    into?.write(Buffer.from('{}\n'))
    return { code: 0, stdout: '', stderr: '' }
  }
  const seccomp = resolve(layout.root, 'seccomp-profile.json')
  for (const path of [layout.answers, layout.compose, layout.configFile, seccomp]) {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, '{}')
  }
  world.journal.append({ run: 'r', procedure: 'setup', event: 'begun' })
  const ctx: IncidentContext = {
    ...world.contextOf(world.begin()),
    ...{ docker: new Docker(run), searching: new Docker(run), run, searchingRun: run, answers: ANSWERS },
    wishes: { since: undefined } as IncidentContext['wishes'],
  }
  const unseenIn = async (action: Action) => (await action.run(ctx, inTime)).facts?.unseen
  return { layout, unseenIn, of: ctx.case }
}

describe('what a machine may not have', () => {
  it('is missing without anything being unseen: its journal, its firewall', async () => {
    const { unseenIn } = deployment()
    expect([await unseenIn(engineAction), await unseenIn(hostAction)]).toEqual([undefined, undefined])
  })

  it.each([
    ['has nothing of the engine', 0],
    ['refuses', 1],
  ])('nor is it where one is there, and %s', async (_what, code) => {
    const { unseenIn } = deployment('', async () => ({ code, stdout: '', stderr: 'permission denied' }))
    expect(await unseenIn(engineAction)).toBeUndefined()
  })
})

describe('what is there, and does not come to its end', () => {
  it('is unseen: a journal that answers too late, a firewall whose program does not start', async () => {
    const late = deployment('', async () => {
      throw new ToolError('deadline', 'it did not finish within 30 s', '')
    })
    expect(await late.unseenIn(engineAction)).toBe('engine/journal.txt')
    const broken = deployment('', async () => {
      throw new ToolError('program_failed_to_start', 'it could not be started', '')
    })
    expect(await broken.unseenIn(hostAction)).toBe(
      'host/iptables-save.txt, host/ip6tables-save.txt, host/nft.txt',
    )
  })

  it('is not all there where it is longer than allowed, in bytes', async () => {
    const journal = Buffer.from('ü'.repeat(1024 ** 2))
    const { unseenIn, of } = deployment('', async (_file, _args, { into, signal }) => {
      for (let n = 0; n < 20 && signal?.aborted !== true; n += 1)
        await new Promise(written => into?.write(journal, written))
      signal?.throwIfAborted()
      return { code: 0, stdout: '', stderr: '' }
    })
    expect(await unseenIn(engineAction)).toBeUndefined()
    const kept = of.artefacts().find(({ file }) => file === 'evidence/engine/journal.txt')
    expect(kept).toMatchObject({ bytes: 32 * 1024 ** 2, cut: 'only the first 33.6 MB' })
  })
})

describe('what every machine has is unseen where it cannot be had', () => {
  it.each([
    ['its events', engineAction, 'events', 'engine/container-events.jsonl, engine/network-events.jsonl'],
    ['those of its networks', engineAction, 'type=network', 'engine/network-events.jsonl'],
    ['its version', hostAction, 'docker version', 'host/docker-version.json'],
    ['its networks', hostAction, 'network inspect', 'host/networks.json'],
  ])('the engine: %s', async (_what, action, refused, names) => {
    expect(await deployment(refused).unseenIn(action)).toBe(names)
  })

  it('the deployment’s own files: one that is gone, and one that is a link', async () => {
    const { layout, unseenIn } = deployment()
    rmSync(layout.configFile)
    rmSync(layout.answers)
    symlinkSync('/etc/passwd', layout.answers)
    expect(await unseenIn(hostAction)).toBe('host/files/deployment.yaml, host/files/config/openclaw.json')
  })
})
