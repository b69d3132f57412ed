import { existsSync } from 'node:fs'
import { readIfPresent, writeAtomic } from '../../src/deployment/files.ts'
import { addressesOf } from '../../src/deployment/network.ts'
import { firstLine } from '../../src/docker/engine.ts'
import { NeighbourRule, publishesToNeighbours } from '../../src/docker/firewall.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import type { Step } from '../../src/procedure/step.ts'
import type { SetupContext } from './context.ts'

type Needs = Pick<SetupContext, 'answers' | 'docker' | 'launch' | 'run'>

/** Before version 28, Docker lets a neighbour on the network reach a port published on 127.0.0.1 (moby#41872). */
export const closeToNeighbours: Step<Needs> = {
  id: 'firewall.install',
  title: 'Close the port to neighbours on the network',
  effect: 'writes',
  async skip({ answers, docker, launch, run }) {
    if (!launch) return 'nothing is launched'
    if (!answers.firewall) return 'not asked for'
    if (!publishesToNeighbours(await docker.info())) return 'this engine does it by itself'
    const rule = new NeighbourRule(run, addressesOf(answers.name).bridge)
    return (await rule.isInstalled()) && (await isPersistent(answers.name, rule, run))
      ? 'the rule is there'
      : undefined
  },
  async run({ answers, run }) {
    const rule = new NeighbourRule(run, addressesOf(answers.name).bridge)
    await rule.install()
    if (!existsSync('/run/systemd/system'))
      return { saw: `${rule.toString()}; no systemd here, so run setup again after a reboot` }
    writeAtomic(unitPath(answers.name), rule.systemdUnit(answers.name), 0o644)
    for (const args of [['daemon-reload'], ['enable', unitName(answers.name)]]) {
      const { code, stderr } = await run('systemctl', args, { deadline: 30_000 })
      if (code !== 0)
        throw new ToolError(
          'firewall_failed',
          `systemctl ${args[0]}: ${firstLine(stderr)}`,
          'The rule is in place, and lost at the next reboot. Correct the cause and run the same command again.',
        )
    }
    return { saw: `${rule.toString()}, again after every boot (${unitName(answers.name)})` }
  },
}

/** Whether the rule comes back after a reboot, as far as this machine can do that. */
async function isPersistent(name: string, rule: NeighbourRule, run: ProcessRunner): Promise<boolean> {
  if (!existsSync('/run/systemd/system')) return true
  if (readIfPresent(unitPath(name)) !== rule.systemdUnit(name)) return false
  return (await run('systemctl', ['is-enabled', unitName(name)], { deadline: 30_000 })).code === 0
}

function unitName(name: string): string {
  return `openclaw-secure-firewall-${name}.service`
}

function unitPath(name: string): string {
  return `/etc/systemd/system/${unitName(name)}`
}
