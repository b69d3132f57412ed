import { Exit, ToolError } from '../errors.ts'
import { type EngineInfo, firstLine } from './engine.ts'
import type { ProcessRunner } from './process.ts'

/**
 * Whether this engine accepts, from the network, packets for a port that is published on 127.0.0.1 only. Docker 28
 * drops them itself ("Gateway mode and direct routing" in its network documentation; moby#41872).
 */
export function publishesToNeighbours(
  engine: Pick<EngineInfo, 'ServerVersion' | 'SecurityOptions' | 'OperatingSystem'>,
): boolean {
  // There the bridge lies in a network namespace or a virtual machine of its own, where no neighbour has a route to.
  const rootless = engine.SecurityOptions?.some(option => option.startsWith('name=rootless')) === true
  if (rootless || engine.OperatingSystem.includes('Docker Desktop')) return false
  // "28.1.0", "20.10.24+dfsg1"; what begins with no number is taken for old.
  return !(Number.parseInt(engine.ServerVersion, 10) >= 28)
}

/**
 * The rule that closes the hole: new connections into the deployment's bridge must come from this machine. It lies in
 * the mangle table, which Docker never touches. In DOCKER-USER, the usual place, connections get through while
 * Docker takes its own rules apart to make another network (test/live/access.test.ts).
 */
export class NeighbourRule {
  readonly #run: ProcessRunner
  readonly #bridge: string

  constructor(run: ProcessRunner, bridge: string) {
    this.#run = run
    this.#bridge = bridge
  }

  /** The rule as one types it. */
  toString(): string {
    return `iptables ${this.#arguments('-I').join(' ')}`
  }

  /** True when the rule is there, false when it is not. Errors: `firewall_unknown` when this user may not look. */
  async isInstalled(): Promise<boolean> {
    const { code, stderr } = await this.#run('iptables', ['--wait', '5', ...this.#arguments('-C')], {
      deadline: 15_000,
    })
    if (code === 0) return true
    if (/permission denied|must be root|operation not permitted/i.test(stderr))
      throw new ToolError(
        'firewall_unknown',
        'only root can read the firewall rules',
        'Run the command as root, or upgrade Docker to 28 or later.',
      )
    if (code === 1) return false
    throw new ToolError(
      'firewall_unknown',
      `the firewall rules cannot be read: ${firstLine(stderr)}`,
      'Run the command again.',
    )
  }

  /** Puts the rule first in its chain. Errors: `firewall_failed`. */
  async install(): Promise<void> {
    if (await this.isInstalled()) return
    const { code, stderr } = await this.#run('iptables', ['--wait', '5', ...this.#arguments('-I')], {
      deadline: 15_000,
    })
    if (code !== 0)
      throw new ToolError(
        'firewall_failed',
        `the firewall rule could not be installed: ${firstLine(stderr)}`,
        `As root: ${this.toString()}`,
        Exit.unknown,
      )
  }

  /** Takes the rule away. Errors: none; a rule that is not there is as good. */
  async remove(): Promise<void> {
    await this.#run('iptables', ['--wait', '5', ...this.#arguments('-D')], { deadline: 15_000 })
  }

  /** A systemd unit that puts the rule back after a reboot, before Docker starts a container. */
  systemdUnit(name: string): string {
    const call = (verb: '-C' | '-I' | '-D') => `iptables --wait 5 ${this.#arguments(verb).join(' ')}`
    return `# Keeps neighbours on the network away from the OpenClaw gateway "${name}" (Docker before 28).
[Unit]
Description=Close OpenClaw gateway ${name} to network neighbours
Before=docker.service
After=network-pre.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c '${call('-C')} || ${call('-I')}'
ExecStop=-/bin/sh -c '${call('-D')}'

[Install]
WantedBy=multi-user.target docker.service
`
  }

  #arguments(verb: '-C' | '-I' | '-D'): string[] {
    const fromElsewhere = ['-o', this.#bridge, '!', '-i', this.#bridge, '-m', 'conntrack', '--ctstate', 'NEW']
    return ['-t', 'mangle', verb, 'FORWARD', ...fromElsewhere, '-j', 'DROP']
  }
}
