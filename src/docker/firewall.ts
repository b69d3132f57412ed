import { coerce, lt } from 'semver'
import { Exit, ToolError } from '../errors.ts'
import { firstLine } from './engine.ts'
import type { ProcessRunner } from './process.ts'

/**
 * Whether this engine accepts, from the network, packets for a port that is published on 127.0.0.1 only. Docker 28
 * drops them itself ("Gateway mode and direct routing" in its network documentation; moby#41872).
 */
export function publishesToNeighbours(engineVersion: string): boolean {
  const version = coerce(engineVersion)
  return version === null || lt(version, '28.0.0')
}

/**
 * The rule that closes the hole: new connections into the deployment's bridge must come from this machine. It lies in
 * DOCKER-USER, the chain Docker leaves to its user.
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
    return `iptables ${['-I', ...this.#rule].join(' ')}`
  }

  /** True when the rule is there, false when it is not. Errors: `firewall_unknown` when this user may not look. */
  async isInstalled(): Promise<boolean> {
    const { code, stderr } = await this.#run('iptables', ['--wait', '5', '-C', ...this.#rule], {
      deadline: 15_000,
    })
    if (code === 0) return true
    if (/permission denied|must be root|operation not permitted/i.test(stderr))
      throw new ToolError(
        'firewall_unknown',
        'only root can read the firewall rules',
        'Run the command as root, or upgrade Docker to 28 or later.',
      )
    return false
  }

  /** Puts the rule first in the chain. Errors: `firewall_failed`. */
  async install(): Promise<void> {
    if (await this.isInstalled()) return
    const { code, stderr } = await this.#run('iptables', ['--wait', '5', '-I', ...this.#rule], {
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

  /** A systemd unit that puts the rule back whenever Docker has started and made its chains anew. */
  systemdUnit(name: string): string {
    const rule = this.#rule.join(' ')
    return `# Keeps neighbours on the network away from the OpenClaw gateway "${name}" (Docker before 28).
[Unit]
Description=Close OpenClaw gateway ${name} to network neighbours
After=docker.service
PartOf=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'iptables --wait 5 -C ${rule} || iptables --wait 5 -I ${rule}'
ExecStop=-/usr/sbin/iptables --wait 5 -D ${rule}

[Install]
WantedBy=docker.service
`
  }

  get #rule(): string[] {
    return [
      'DOCKER-USER',
      '-o',
      this.#bridge,
      '!',
      '-i',
      this.#bridge,
      '-m',
      'conntrack',
      '--ctstate',
      'NEW',
      '-j',
      'DROP',
    ]
  }
}
