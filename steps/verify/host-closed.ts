import type { Check } from '../../src/procedure/step.ts'
import { passIf } from './judge.ts'
import type { World } from './world.ts'

/** Each of these undoes all other checks. */
export const hostClosed: Check<World> = {
  id: 'host.closed',
  title: 'The container shares nothing with the machine: no socket, device, namespace or privilege',
  line: 3,
  threat: 'privilege escalation',
  severity: 'critical',
  remedy: 'Remove it from docker-compose.yml: the engine’s socket alone is root on this machine.',
  refs: { seed: 'Docker Security Hardening', cis: '5.5, 5.10, 5.16-5.18, 5.21, 5.31, 5.32' },
  bySetup: true,
  async run(world) {
    const { HostConfig: host, Mounts } = await world.container()
    const wrong = [
      host.Privileged && 'privileged',
      host.PidMode === 'host' && 'the machine’s processes',
      host.IpcMode === 'host' && 'the machine’s shared memory',
      host.UTSMode === 'host' && 'the machine’s host name',
      host.UsernsMode === 'host' && 'the machine’s users',
      host.NetworkMode === 'host' && 'the machine’s network',
      (host.CapAdd ?? []).length > 0 && `added capabilities ${(host.CapAdd ?? []).join(' ')}`,
      (host.Devices ?? []).length > 0 && 'devices',
      Mounts.some(mount => /docker\.sock|containerd\.sock|podman\.sock/.test(mount.Source)) &&
        'an engine socket',
    ].filter(found => found !== false)
    return passIf(
      wrong.length === 0,
      `docker inspect: ${wrong.length === 0 ? 'not privileged; namespaces of its own; no capability, device or engine socket' : `it has ${wrong.join(', ')}`}`,
    )
  },
  sabotage: world => ({
    ...world,
    async container() {
      const real = await world.container()
      return {
        ...real,
        Mounts: [
          ...real.Mounts,
          { Type: 'bind', Source: '/var/run/docker.sock', Destination: '/var/run/docker.sock', RW: true },
        ],
      }
    },
  }),
}
