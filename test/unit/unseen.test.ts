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

/** A machine without journal and firewall, whose engine refuses what is named. */
function deployment(refused = '') {
  const world = new World()
  const { layout } = world
  const run: ProcessRunner = async (file, args, { into }) => {
    const said = [file, ...args].join(' ')
    if (file !== 'docker') throw new ToolError('program_missing', `there is no ${file}`, '')
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
  return { layout, unseenIn }
}

describe('what a machine may not have', () => {
  it('is missing without anything being unseen: its journal, its firewall', async () => {
    const { unseenIn } = deployment()
    expect([await unseenIn(engineAction), await unseenIn(hostAction)]).toEqual([undefined, undefined])
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
