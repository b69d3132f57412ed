import { describe, expect, it } from 'vitest'
import { Docker } from '../../src/docker/engine.ts'
import type { Finished } from '../../src/docker/process.ts'
import { openApprovals, shutApprovals, startablePrograms } from '../../src/gateway/approvals.ts'
import {
  dockerBackend,
  gatewayDockerDockerfile,
  gatewayDockerfile,
  programsOf,
  SANDBOX,
  sandboxDockerfile,
  sandboxFiles,
  sandboxKnownHosts,
  sandboxPolicy,
  sandboxService,
  USUAL_PROGRAMS,
} from '../../src/gateway/sandbox.ts'
import { thrown } from './support.ts'

const USER = { uid: 1000, gid: 1000 }
const [ONE, OTHER] = ['ssh-ed25519 AAAAone', 'ssh-ed25519 AAAAother']

/** A bind mount without what only the machine knows. */
const bind = (source: string, target: string, readOnly: boolean) => ({
  source,
  target,
  read_only: readOnly,
})

describe('threat: command injection: what the agent may start', () => {
  it('is on the list, or it is what OpenClaw itself cannot do without', () => {
    expect(programsOf(['git'])).toEqual(
      expect.arrayContaining(['git', 'sh', 'python3', 'stat', 'readlink', 'sshd']),
    )
    for (const program of [
      'sudo',
      'su',
      'curl',
      'wget',
      'ssh',
      'nc',
      'perl',
      'mount',
      'chown',
      'apt-get',
      'dd',
    ])
      expect(programsOf(USUAL_PROGRAMS)).not.toContain(program)
  })

  it('does not depend on the order in which it is listed', () => {
    expect(sandboxDockerfile('debian:12', ['git', 'jq', 'git'])).toBe(
      sandboxDockerfile('debian:12', ['jq', 'git']),
    )
    expect(sandboxDockerfile('debian:12', ['git'])).not.toBe(sandboxDockerfile('debian:12', ['git', 'jq']))
  })

  it.each(['git; curl', '$(id)', '`id`', '../bin/sh', '-x', '', 'a b', 'a\nRUN id', "a'b", '{{x}}'])(
    'is a name and nothing else: %j',
    async name => {
      expect(await thrown(() => sandboxDockerfile('debian:12', [name]))).toMatchObject({
        code: 'sandbox_program',
      })
      expect(await thrown(() => sandboxDockerfile('debian:12', [], [name]))).toMatchObject({
        code: 'sandbox_program',
      })
    },
  )

  it('is taken from the image as its last step but for who it runs as', () => {
    const dockerfile = sandboxDockerfile('debian:12', ['git'], ['golang'])
    expect(dockerfile).toMatch(/install .* golang \\/)
    expect(dockerfile).toMatch(/for name in basename cat .* git .* tar; do/)
    expect(dockerfile.trimEnd().split('\n').slice(-5)).toEqual([
      '',
      'USER 1000:1000',
      'WORKDIR /workspace',
      'EXPOSE 2222',
      'CMD ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/sandbox/sshd_config"]',
    ])
  })
})

describe('threat: command injection: what a program starts by path', () => {
  const lastRun = (...lists: [string[], string[]?]) =>
    sandboxDockerfile('debian:12', ...lists)
      .split('\nRUN ')
      .at(-1) ?? ''

  it('is left alone for git where git is listed, and taken away with it', () => {
    expect(lastRun(['git', 'jq'])).toContain("! -path '/usr/lib/git-core/*' > /tmp/all")
    expect(lastRun(['jq'])).not.toContain('git-core/*')
  })

  it('is left alone where it came with an added package, and lies where no program does', () => {
    const dockerfile = sandboxDockerfile('debian:12', ['go'], ['golang'])
    expect(dockerfile).toContain(
      `! -path '*/bin/*' ! -path '*/sbin/*' | sort | comm -13 /tmp/before - > ${SANDBOX.parts}`,
    )
    expect(lastRun(['go'], ['golang'])).toContain(`cat ${SANDBOX.parts} >> /tmp/kept`)
    expect(sandboxDockerfile('debian:12', ['go'])).not.toContain(SANDBOX.parts)
  })
})

describe('threat: privilege escalation: the sandbox’s door', () => {
  const files = sandboxFiles({ uid: 4711, gid: 4712 }, 'host_key.a1', [ONE])

  it('opens for one user and one key, and for no terminal, forwarding or password', () => {
    const settings = files.sshd_config.split('\n')
    for (const line of [
      'AllowUsers sandbox',
      'AuthenticationMethods publickey',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'PermitRootLogin no',
      'UsePAM no',
      'StrictModes yes',
      'PermitTTY no',
      'DisableForwarding yes',
      'PermitUserEnvironment no',
      'PermitUserRC no',
      'HostKey /etc/sandbox/host_key.a1',
      'AuthorizedKeysFile /etc/sandbox/authorized_keys',
    ])
      expect(settings).toContain(line)
    expect(files.sshd_config).not.toMatch(/Subsystem|AcceptEnv|Include/)
    expect(files.authorized_keys).toBe(`restrict ${ONE} gateway\n`)
  })

  it('knows the user that the container runs as, whatever its number', () => {
    expect(files.passwd).toBe('sandbox:x:4711:4712::/workspace:/bin/sh\n')
    expect(files.group).toBe('sandbox:x:4712:\n')
  })

  it('takes two keys, and is known by two, while one is being replaced', () => {
    expect(sandboxFiles(USER, 'host_key.a1', [ONE, OTHER]).authorized_keys.split('\n')).toEqual([
      `restrict ${ONE} gateway`,
      `restrict ${OTHER} gateway`,
      '',
    ])
    expect(sandboxKnownHosts([ONE, OTHER])).toBe(`[sandbox]:2222 ${ONE}\n[sandbox]:2222 ${OTHER}\n`)
  })
})

describe('threat: filesystem access: what OpenClaw is told', () => {
  const { sandbox, tools } = sandboxPolicy()

  it('sends every agent’s commands there and nowhere else', () => {
    expect(sandbox).toMatchObject({ mode: 'all', backend: 'ssh', scope: 'session', workspaceAccess: 'none' })
    expect(tools.exec).toMatchObject({ host: 'sandbox', mode: 'allowlist' })
    expect(tools.exec.applyPatch.workspaceOnly).toBe(true)
  })

  it('pins the host key and reads its own key from a file', () => {
    expect(sandbox.ssh).toMatchObject({
      target: 'sandbox@sandbox:2222',
      strictHostKeyChecking: true,
      updateHostKeys: false,
      knownHostsFile: SANDBOX.knownHosts,
      identityData: { source: 'file', provider: 'sandbox_client_key', id: 'value' },
    })
  })

  it('keeps what a session has made: the sandbox has the only copy', () => {
    expect(sandbox.prune).toEqual({ idleHours: 0, maxAgeDays: 0 })
  })

  it('calls the ssh that the gateway’s image has for it', () => {
    const dockerfile = gatewayDockerfile('openclaw@sha256:0123', '1000:1000')
    expect(dockerfile).toContain(`> ${sandbox.ssh.command} `)
    expect(dockerfile).toContain('FROM openclaw@sha256:0123\n')
    expect(dockerfile.trimEnd().endsWith('USER 1000:1000')).toBe(true)
    // Another key, or another host key, is another connection: an open one outlives neither.
    expect(dockerfile).toContain(`"\${2%/*}/identity" ${SANDBOX.knownHosts} | sha256sum`)
  })
})

describe('threat: resource exhaustion: the sandbox’s container', () => {
  it('has the seed’s limits, and one network', () => {
    expect(sandboxService('sha256:0123', USER, bind)).toMatchObject({
      pids_limit: 256,
      mem_limit: '1024m',
      memswap_limit: '2048m',
      cpus: 1,
      networks: ['sandbox'],
    })
  })

  it('sees its settings, which it cannot change, and its work, and nothing else of the machine', () => {
    const { volumes, tmpfs } = sandboxService('sha256:0123', USER, bind)
    expect(volumes.map(({ source, target, read_only }) => [source, target, read_only])).toEqual([
      ['./sandbox', '/etc/sandbox', true],
      ['./sandbox-work', '/workspace', false],
    ])
    for (const mount of tmpfs) expect(mount).toMatch(/:rw,noexec,nosuid,nodev,size=\d+m,/)
    expect(tmpfs.map(mount => mount.split(':')[0])).toEqual(['/tmp', '/var/tmp', '/run'])
  })
})

/** An engine whose containers print one text after the other, and all that they were asked. */
function engine(...printed: (object | string)[]) {
  const asked: { args: string[]; input: unknown }[] = []
  const docker = new Docker(async (_file, args, options): Promise<Finished> => {
    asked.push({ args: args.slice(3), input: options.input })
    const next = printed.shift() ?? ''
    return { code: 0, stdout: typeof next === 'string' ? next : JSON.stringify(next), stderr: '' }
  })
  return { docker, asked }
}

/** As OpenClaw 2026.9.6 prints it, without what we do not read. */
const approvals = (effective: string, agents: object = {}) => ({
  path: 'openclaw.sqlite#exec_approvals_config',
  file: { version: 1, defaults: {}, agents },
  effectivePolicy: {
    scopes: [{ scopeLabel: 'tools.exec', security: { requested: 'allowlist', effective } }],
  },
})

describe('threat: command injection: the gateway’s own container', () => {
  it('lets nothing run when OpenClaw’s approvals deny', async () => {
    expect(await openApprovals(engine(approvals('deny')).docker, 'g')).toEqual([])
  })

  it.each([
    ['a list that decides', approvals('allowlist'), 'tools.exec has the security "allowlist"'],
    [
      'an entry that waits',
      approvals('deny', { main: { allowlist: [{ pattern: '/bin/sh' }] } }),
      'main: 1 allowed',
    ],
  ])('is open with %s', async (_name, printed, reason) => {
    expect(await openApprovals(engine(printed).docker, 'g')).toEqual([expect.stringContaining(reason)])
  })

  it.each([
    ['text', 'Error: no database'],
    ['no scope at all', { ...approvals('deny'), effectivePolicy: { scopes: [] } }],
  ])('is unknown, and not shut, when OpenClaw answers with %s', async (_name, printed) => {
    expect(await thrown(() => openApprovals(engine(printed).docker, 'g'))).toMatchObject({
      code: 'approvals_unknown',
    })
  })

  it('is shut through standard input, and looked at again', async () => {
    const { docker, asked } = engine(approvals('allowlist'), {}, approvals('deny'))
    await shutApprovals(docker, 'g')
    expect(asked.map(({ args }) => args.slice(2))).toEqual([
      ['approvals', 'get', '--json'],
      ['approvals', 'set', '--stdin', '--json'],
      ['approvals', 'get', '--json'],
    ])
    expect(JSON.parse(String(asked[1]?.input))).toMatchObject({
      defaults: { security: 'deny', askFallback: 'deny' },
      agents: { main: { security: 'deny', allowlist: [] } },
    })
  })

  it('is left alone where it is shut, and is no success where it stays open', async () => {
    const shut = engine(approvals('deny'))
    await shutApprovals(shut.docker, 'g')
    expect(shut.asked).toHaveLength(1)
    const stubborn = engine(approvals('full'), {}, approvals('full'))
    expect(await thrown(() => shutApprovals(stubborn.docker, 'g'))).toMatchObject({ code: 'approvals_open' })
  })
})

describe('reading back what can be started in the sandbox', () => {
  it('asks for the whole list, and hands on what differs', async () => {
    const seen = { missing: ['jq'], extra: ['/usr/bin/perl'] }
    const { docker, asked } = engine(seen)
    expect(await startablePrograms(docker, 's', ['jq'])).toEqual(seen)
    expect(JSON.parse(asked[0]?.args.at(-1) ?? '')).toEqual(programsOf(['jq']))
  })

  it('is unknown when the container says something else', async () => {
    expect(await thrown(() => startablePrograms(engine('Killed').docker, 's', []))).toMatchObject({
      code: 'programs_unknown',
    })
  })
})

describe('threat: privilege escalation: OpenClaw’s own docker backend', () => {
  const { docker, prune } = dockerBackend({ name: 'my-gateway', seccomp: 'fitted' }, 'sandbox:1')

  it('makes containers that are as confined as the sandbox of our own, and have no network at all', () => {
    const { pids_limit, mem_limit, memswap_limit, cpus, tmpfs } = sandboxService('sandbox:1', USER, bind)
    expect(docker).toMatchObject({
      ...{ image: 'sandbox:1', network: 'none', readOnlyRoot: true, capDrop: ['ALL'], workdir: '/workspace' },
      ...{ pidsLimit: pids_limit, memory: mem_limit, memorySwap: memswap_limit, cpus },
      seccompProfile: '/etc/openclaw/seccomp-profile.json',
    })
    expect(docker.tmpfs.slice(0, 2)).toEqual(tmpfs.slice(0, 2))
    for (const mount of docker.tmpfs) expect(mount).toMatch(/:rw,noexec,nosuid,nodev,size=\d+m,/)
  })

  it('has them named apart from those of another gateway on the machine, and removed when nobody uses them', () => {
    expect(docker.containerPrefix).toBe('my-gateway-agent-')
    expect(prune.idleHours).toBeGreaterThan(0)
  })

  it('goes by Docker’s own profile where that was asked for', () => {
    const { docker: other } = dockerBackend({ name: 'my-gateway', seccomp: 'docker-default' }, 'sandbox:1')
    expect(other).not.toHaveProperty('seccompProfile')
  })

  it('calls the client that the gateway’s image has for it, and no engine', () => {
    const dockerfile = gatewayDockerDockerfile('openclaw@sha256:0123', '1000:1000')
    expect(dockerfile).toContain('FROM openclaw@sha256:0123\n')
    expect(dockerfile).toContain('docker-cli')
    expect(dockerfile.trimEnd().endsWith('USER 1000:1000')).toBe(true)
  })
})
