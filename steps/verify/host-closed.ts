import { passIf, type VerifyCheck } from './check.ts'

/** Each of these undoes all other checks. */
export const hostClosed: VerifyCheck = {
  id: 'host.closed',
  title: 'The container shares nothing with the machine: no socket, device, namespace or privilege',
  line: 3,
  threat: 'privilege escalation',
  severity: 'critical',
  kind: 'live',
  remedy:
    'Remove it from docker-compose.yml (the engine’s socket: agent.sandbox is ssh in deployment.yaml, and create-openclaw-secure . again).',
  refs: { seed: 'Docker Security Hardening', cis: '5.5, 5.10, 5.16-5.18, 5.21, 5.31, 5.32' },
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
      Mounts.some(mount => /(docker|containerd|podman)\.sock/.test(`${mount.Source} ${mount.Destination}`)) &&
        'an engine socket, which is root on this machine',
    ].filter(found => found !== false)
    return passIf(
      wrong.length === 0,
      `docker inspect: ${wrong.length === 0 ? 'not privileged; namespaces of its own; no capability, device or engine socket' : `it has ${wrong.join(', ')}`}`,
    )
  },
  sabotage: {
    weaken(twin) {
      // An empty file under the name is enough: nothing real is handed out.
      twin.write('docker.sock', '', 0o600)
      twin.mount('./docker.sock', '/var/run/docker.sock', true)
      twin.service({ ipc: 'host', devices: ['/dev/null:/dev/spare'] })
    },
  },
}
