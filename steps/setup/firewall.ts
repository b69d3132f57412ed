import { existsSync } from 'node:fs'
import { writeAtomic } from '../../src/deployment/files.ts'
import { bridgeNetwork } from '../../src/deployment/network.ts'
import { NeighbourRule, publishesToNeighbours } from '../../src/docker/firewall.ts'
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
    if (!publishesToNeighbours((await docker.info()).ServerVersion)) return 'this engine does it by itself'
    const rule = new NeighbourRule(run, bridgeNetwork(answers.name).bridge)
    return (await rule.isInstalled()) && !unitIsMissing(answers.name) ? 'the rule is there' : undefined
  },
  async run({ answers, run }) {
    const rule = new NeighbourRule(run, bridgeNetwork(answers.name).bridge)
    await rule.install()
    if (!existsSync('/run/systemd/system'))
      return { saw: `${rule.toString()}; no systemd here, so run setup again after a reboot` }
    writeAtomic(unitPath(answers.name), rule.systemdUnit(answers.name), 0o644)
    await run('systemctl', ['daemon-reload'], { deadline: 30_000 })
    await run('systemctl', ['enable', unitName(answers.name)], { deadline: 30_000 })
    return { saw: `${rule.toString()}, again after every boot (${unitName(answers.name)})` }
  },
}

function unitIsMissing(name: string): boolean {
  return existsSync('/run/systemd/system') && !existsSync(unitPath(name))
}

function unitName(name: string): string {
  return `openclaw-secure-firewall-${name}.service`
}

function unitPath(name: string): string {
  return `/etc/systemd/system/${unitName(name)}`
}
