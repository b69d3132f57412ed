import { describe, expect, it } from 'vitest'
import { INSIDE, layoutOf } from '../../src/deployment/layout.ts'
import {
  companionMounts,
  deniedPlace,
  gatewayMounts,
  type Mount,
  mountProblems,
} from '../../src/deployment/mounts.ts'

const HOMES = ['/home/me', '/data/people/you']
const layout = layoutOf('/srv/gateways/gw')
const context = gatewayMounts(layout, HOMES)

const at = (source: string, more: Partial<Mount> = {}): Mount => ({
  source,
  target: '/mnt/it',
  readOnly: true,
  ...more,
})
const problems = (mount: Mount) => mountProblems(mount, context).join('; ')

/** What docker-compose.yml of a deployment says, and what the engine makes of it. */
const OURS: Mount[] = [
  at('./config', { target: INSIDE.config }),
  at('./secrets', { target: INSIDE.secrets }),
  at('./state', { target: INSIDE.state, readOnly: false }),
  at(layout.config, { target: INSIDE.config }),
  at(layout.secrets, { target: INSIDE.secrets }),
  at(layout.state, { target: INSIDE.state, readOnly: false }),
]

describe('the deployment’s own folders (filesystem access)', () => {
  it.each(OURS.map(mount => [mount.source, mount] as const))('%s is mounted at its place', (_, mount) => {
    expect(mountProblems(mount, context)).toEqual([])
  })

  it.each([
    ['a closing slash', at('./state/', { target: `${INSIDE.state}/`, readOnly: false })],
    ['a doubled slash', at('.//config', { target: INSIDE.config })],
    ['read-only where it could be written', at('./state', { target: INSIDE.state })],
  ])('with %s are still ours', (_, mount) => expect(mountProblems(mount, context)).toEqual([]))

  it.each([
    [
      'the policy, writable',
      at('./config', { target: INSIDE.config, readOnly: false }),
      /config is mounted writable/,
    ],
    [
      'the secrets, writable',
      at('./secrets', { target: INSIDE.secrets, readOnly: false }),
      /mounted writable/,
    ],
    [
      'the state as the policy',
      at('./state', { target: INSIDE.config, readOnly: false }),
      /not at \/home\/openclaw/,
    ],
    [
      'the secrets in the workspace',
      at('./secrets', { target: `${INSIDE.workspace}/x` }),
      /not at \/run\/secrets/,
    ],
    ['a part of the secrets', at('./secrets/gateway_token.1'), /none of this deployment’s own folders/],
    ['the store', at('./.secure'), /none of this deployment/],
    ['the whole deployment', at('.'), /none of this deployment/],
    ['the folder above', at('..'), /none of this deployment/],
    ['the state, by the way of somewhere else', at('./config/../state', { target: INSIDE.state }), /none of/],
    ['the state at a place with ..', at('./state', { target: `${INSIDE.state}/../.openclaw` }), /none of/],
    ['a folder whose name only begins the same', at('./state2', { target: INSIDE.state }), /none of/],
    ['a folder of another case', at('./State', { target: INSIDE.state }), /none of/],
    ['a volume of Docker', at('data', { target: INSIDE.state }), /none of/],
    ['a volume without a name', at('', { target: '/data' }), /none of/],
  ])('%s is refused', (_, mount, why) => expect(problems(mount)).toMatch(why))

  it('are not those of the containers beside the gateway, which see what they are told', () => {
    const beside = companionMounts(layout, 'ingress', HOMES)
    expect(mountProblems(at('./border', { target: INSIDE.border }), beside)).toEqual([])
    expect(mountProblems(at('./secrets', { target: INSIDE.secrets }), beside)).not.toEqual([])
    expect(mountProblems(at('./border', { target: INSIDE.border, readOnly: false }), beside)).not.toEqual([])
    expect(mountProblems(at('./border', { target: INSIDE.border }), context)).not.toEqual([])
  })
})

describe('a forbidden place of the machine is refused (filesystem access):', () => {
  it.each([
    // The seed's list, as a person writes it.
    ...['~/.ssh', '~/.gnupg', '~/.aws', '~/.config', '/etc', '/root'],
    // The same, by every other name.
    ...['$HOME/.ssh', '${HOME}/.ssh', '/home/me/.ssh', '/home/me/.ssh/', '/home/me//.ssh', '/home/me/./.ssh'],
    ...[
      '/home/me/x/../.ssh',
      '../../../home/me/.ssh',
      '/HOME/me/.SSH',
      '/etc/',
      '/ETC',
      '/etc/../etc/passwd',
    ],
    ...['/proc/1/root/etc', '/home/somebody-else/.aws', '/data/people/you/.gnupg', '/Users/me/.config/gh'],
    // What holds one of them.
    ...[
      '/',
      '//',
      '/.',
      '/home',
      '/home/',
      '~',
      '~/',
      '$HOME',
      '/home/me',
      '/data',
      '/data/people',
      '/var',
      '/Users',
    ],
    // What hands over the machine.
    ...['/var/run/docker.sock', '/run/docker.sock', '/run', '/var/run', '/run/user/1000', '/run/containerd'],
    ...[
      '/srv/anywhere/docker.sock',
      '/run/podman/podman.sock',
      '//./pipe/docker_engine',
      '\\\\.\\pipe\\docker_engine',
    ],
    ...['/proc', '/sys', '/sys/fs/cgroup', '/dev', '/dev/sda', '/boot', '/var/lib/docker', '/usr/local/bin'],
    ...['/var/spool/cron', '/var/log', '~/.docker/config.json', '~/.kube', '~/.netrc', '~/.git-credentials'],
  ])('%s', source => {
    expect(problems(at(source))).toMatch(/must never be mounted$/)
  })

  it('one that no list names is refused all the same, since only ours are allowed', () => {
    for (const source of [
      '/opt/x',
      '/srv/other',
      '~root/.ssh',
      '$SECRETS',
      '/mnt/c/Users/me/.ssh',
      'C:\\Users',
    ])
      expect(mountProblems(at(source), context)).toHaveLength(1)
  })

  it('and the message says which it is, and how it meets it', () => {
    expect(problems(at('~/.ssh/id_ed25519'))).toBe(
      '~/.ssh/id_ed25519 (/home/me/.ssh/id_ed25519) is in /home/me/.ssh, which must never be mounted',
    )
    expect(problems(at('/'))).toBe('/ holds /etc, which must never be mounted')
    expect(problems(at('/etc'))).toBe('/etc must never be mounted')
  })
})

describe('a place for the deployment folder itself', () => {
  it.each([
    '/srv/gw',
    '/opt/gw',
    '/home/me/gw',
    '/data/people/you/gw',
    '/tmp/x/gw',
    '/var/lib/gw',
    '/home/me/.gw',
  ])('%s is fine', path => expect(deniedPlace(path, HOMES)).toBeUndefined())

  it.each([
    ['/home/me/.config/gw', { place: '/home/me/.config', how: 'is in' }],
    ['/home/me', { place: '/home/me/.ssh', how: 'holds' }],
    ['/etc/gw', { place: '/etc', how: 'is in' }],
    ['/root/gw', { place: '/root', how: 'is in' }],
    ['/run/gw', { place: '/run', how: 'is in' }],
    ['/', { place: '/etc', how: 'holds' }],
  ])('%s is not', (path, denied) => expect(deniedPlace(path, HOMES)).toEqual(denied))
})
