import { statSync } from 'node:fs'
import type { Answers } from '../deployment/answers.ts'
import { INSIDE } from '../deployment/layout.ts'
import { NOWHERE } from '../deployment/network.ts'
import { render } from '../deployment/render.ts'
import { SANDBOX_SERVICE } from '../docker/compose.ts'
import { confinementOf } from '../docker/confinement.ts'
import type { EngineInfo } from '../docker/engine.ts'
import { Exit, ToolError } from '../errors.ts'

/**
 * The sandbox of the `coding` posture: a container of its own, in which OpenClaw's ssh backend runs every command and file
 * operation of the agent. It has a network with the gateway alone, no secret but its own host key, and no way to the engine.
 * Everything here but {@link socketGroup} is a pure function of what it is given.
 */

/** The paths and names on both sides. `folder`, `parts`, `work` and `user` are the sandbox's, the rest the gateway's. */
export const SANDBOX = {
  service: SANDBOX_SERVICE,
  network: 'sandbox',
  user: 'sandbox',
  port: 2222,
  folder: '/etc/sandbox',
  /** In the image: what programs of the added packages start by path. Missing where no package was added. */
  parts: '/usr/share/sandbox-parts',
  work: '/workspace',
  /** In the gateway's configuration folder, which is mounted: a new one is read by the next call. */
  knownHosts: '/etc/openclaw/sandbox_known_hosts',
  /** Calls ssh and keeps the connection (`templates/gateway-ssh.Dockerfile.hbs`). */
  command: '/usr/local/bin/openclaw-sandbox-ssh',
} as const

/** The key by which the gateway comes in: one of its secrets, in its secrets folder. */
export const SANDBOX_CLIENT_KEY = 'sandbox_client_key'
/** The key by which the sandbox is recognised: not for the gateway, and in the sandbox's own folder. */
export const SANDBOX_HOST_KEY = 'sandbox_host_key'

/** What OpenClaw's ssh backend calls by name, and what serves it. Without these nothing works at all. */
const PLUMBING = 'basename cat chmod dirname find mkdir python3 readlink rm sh sshd stat tar'.split(' ')

/** The programs an agent can start where the person has not chosen: to look, to edit, to test and to keep versions. */
export const USUAL_PROGRAMS: readonly string[] =
  `awk base64 bash basename cat chmod cmp comm cp cut date diff dirname du echo env expr false find fold git grep
   gunzip gzip head id join jq ln ls make md5sum mkdir mktemp mv nl nproc od paste patch printf pwd python3 readlink realpath
   rg rm rmdir sed seq sha256sum sleep sort split stat tail tar tee test timeout touch tr true tsort uname uniq wc which xargs
   xz`.split(/\s+/)

/** A program's or a Debian package's name: nothing that a shell or a Dockerfile would read as more. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$/

export const isProgramName = (text: string): boolean => NAME.test(text)

/**
 * The part of openclaw.json that is the sandbox's. OpenClaw's own `exec` allowlist is not asked for commands in a sandbox
 * (2026.9.6, measured; its page "Exec approvals" names the hosts where it is), so that what may be started is decided by the
 * sandbox's image: {@link sandboxDockerfile}. `exec.mode: "allowlist"` beside an empty list, and `host: "sandbox"`, are
 * what keeps the same command from running in the gateway if the sandbox were ever switched off.
 */
export function sandboxPolicy() {
  return {
    sandbox: {
      mode: 'all',
      backend: 'ssh',
      scope: 'session',
      // "rw" would copy the agent's notes into the sandbox, and its skills anew before every call.
      workspaceAccess: 'none',
      ssh: {
        target: `${SANDBOX.user}@${SANDBOX.service}:${SANDBOX.port}`,
        command: SANDBOX.command,
        workspaceRoot: SANDBOX.work,
        strictHostKeyChecking: true,
        updateHostKeys: false,
        identityData: { source: 'file', provider: SANDBOX_CLIENT_KEY, id: 'value' },
        knownHostsFile: SANDBOX.knownHosts,
      },
      // Else OpenClaw deletes what a session has made, after a day at rest or a week: here there is no other copy.
      prune: { idleHours: 0, maxAgeDays: 0 },
    },
    tools: {
      profile: 'coding',
      deny: ['group:automation', 'group:nodes', 'group:ui', 'sessions_spawn', 'sessions_send'],
      exec: {
        host: 'sandbox',
        mode: 'allowlist',
        strictInlineEval: true,
        timeoutSeconds: 300,
        applyPatch: { enabled: true, workspaceOnly: true },
      },
    },
  }
}

/** Where the engine of this machine listens, and where OpenClaw's docker backend looks for it. */
export const ENGINE_SOCKET = '/var/run/docker.sock'

/** The group that may open the socket, by number; undefined where there is none. */
export function socketGroup(): number | undefined {
  const found = statSync(ENGINE_SOCKET, { throwIfNoEntry: false })
  return found?.isSocket() === true ? found.gid : undefined
}

/**
 * Why the gateway of this machine cannot be handed the socket, or undefined where it can. A rootless engine listens elsewhere,
 * one that maps users gives the socket's group another number inside, and SELinux and AppArmor keep containers from it.
 */
export function socketProblem(
  engine: Pick<EngineInfo, 'SecurityOptions'>,
  apparmor: boolean,
  group: number | undefined = socketGroup(),
): string | undefined {
  const has = (name: string) =>
    engine.SecurityOptions?.some(option => option.startsWith(`name=${name}`)) === true
  if (group === undefined) return `this machine has no socket at ${ENGINE_SOCKET}`
  if (has('rootless') || has('userns')) return 'this engine maps its users'
  if (confinementOf(engine) === 'selinux') return 'SELinux keeps containers from the socket'
  return apparmor ? 'the profile of --apparmor keeps the gateway from the socket' : undefined
}

/** The seccomp profile of OpenClaw's sandboxes, where Docker's client in the gateway reads it. */
export const SANDBOX_SECCOMP = `${INSIDE.config}/seccomp-profile.json`

/**
 * The same for OpenClaw's docker backend, which makes a container a session by the engine's socket. It is as confined as the
 * sandbox of our own; what is not confined any more is the gateway. OpenClaw runs it as the workspace's owner, the gateway's user.
 */
export function dockerBackend({ name, seccomp }: Pick<Answers, 'name' | 'seccomp'>, image: string) {
  const { pids_limit, mem_limit, memswap_limit, cpus } = LIMITS
  return {
    mode: 'all',
    backend: 'docker',
    scope: 'session',
    workspaceAccess: 'none',
    docker: {
      image,
      // Names follow from it and the session: with one prefix, two gateways of this machine would take each other's.
      containerPrefix: `${name}-agent-`,
      workdir: SANDBOX.work,
      readOnlyRoot: true,
      tmpfs: temporary('mode=1777'),
      network: 'none',
      capDrop: ['ALL'],
      pidsLimit: pids_limit,
      memory: mem_limit,
      memorySwap: memswap_limit,
      cpus,
      ulimits: { core: 0, nofile: { soft: 8192, hard: 8192 } },
      ...(seccomp === 'fitted' ? { seccompProfile: SANDBOX_SECCOMP } : {}),
    },
    // A container at rest is removed after a day. What was made in it lies in the gateway's state folder, and stays.
    prune: { idleHours: 24, maxAgeDays: 7 },
  }
}

/** The seed's. Memory and swap are set apart: a build that needs more for a moment is not killed. */
const LIMITS = { pids_limit: 256, mem_limit: '1024m', memswap_limit: '2048m', cpus: 1 }

/** The folders that can be written besides the work, and that nothing is started from. `run` is whose /run is. */
function temporary(run: string): string[] {
  return [
    '/tmp:rw,noexec,nosuid,nodev,size=256m,nr_inodes=64k,mode=1777',
    '/var/tmp:rw,noexec,nosuid,nodev,size=64m,nr_inodes=16k,mode=1777',
    `/run:rw,noexec,nosuid,nodev,size=16m,nr_inodes=1k,${run}`,
  ]
}

/**
 * The sandbox's Dockerfile: Debian's packages, and then every program but `programs` taken away from its user.
 * Errors: `sandbox_program`, for a name that is none.
 */
export function sandboxDockerfile(
  base: string,
  programs: readonly string[],
  packages: readonly string[] = [],
): string {
  const odd = [...programs, ...packages].find(name => !NAME.test(name))
  if (odd !== undefined)
    throw new ToolError(
      'sandbox_program',
      `${JSON.stringify(odd)} is not the name of a program or package`,
      'Name programs as they are called, such as "git", without a path or arguments.',
      Exit.usage,
    )
  return render(
    'sandbox/Dockerfile.hbs',
    {
      base,
      programs: programsOf(programs),
      packages: [...new Set(packages)].sort(),
      parts: SANDBOX.parts,
      git: programs.includes('git'),
    },
    'text',
  )
}

/** All that can be started: the list, and what OpenClaw cannot do without. Sorted, so that their order changes no image. */
export function programsOf(programs: readonly string[]): string[] {
  return [...new Set([...PLUMBING, ...programs])].sort()
}

/** The Dockerfile that puts an ssh client on a pinned gateway image. `user` is that image's own, to be restored. */
export function gatewayDockerfile(gateway: string, user: string): string {
  const { command, knownHosts } = SANDBOX
  return render('gateway-ssh.Dockerfile.hbs', { gateway, user, command, knownHosts }, 'text')
}

/** The same with Docker's client, for OpenClaw's docker backend. */
export function gatewayDockerDockerfile(gateway: string, user: string): string {
  return render('gateway-docker.Dockerfile.hbs', { gateway, user }, 'text')
}

/** What lies in the folder that is mounted at {@link SANDBOX.folder}, by file name. No secret is in it. */
export interface SandboxFiles {
  sshd_config: string
  authorized_keys: string
  passwd: string
  group: string
}

/** The sandbox's settings for the user it runs as. `hostKey` is the file of its key in the same folder. */
export function sandboxFiles(
  user: { uid: number; gid: number },
  hostKey: string,
  clientKeys: readonly string[],
): SandboxFiles {
  const { folder, port, work, user: name } = SANDBOX
  return {
    sshd_config: render(
      'sandbox/sshd_config.hbs',
      { folder, port, user: name, hostKey: `${folder}/${hostKey}` },
      'text',
    ),
    authorized_keys: clientKeys.map(key => `restrict ${key} gateway\n`).join(''),
    // Whoever has no entry is not let in.
    passwd: `${name}:x:${user.uid}:${user.gid}::${work}:/bin/sh\n`,
    group: `${name}:x:${user.gid}:\n`,
  }
}

/** The file by which the gateway recognises the sandbox: a line for each host key it may show. */
export function sandboxKnownHosts(hostKeys: readonly string[]): string {
  return hostKeys.map(key => `[${SANDBOX.service}]:${SANDBOX.port} ${key}\n`).join('')
}

/**
 * The Compose service without what every service has (`init`, `read_only`, `cap_drop`, `security_opt`, logging, …).
 */
export function sandboxService<Bind>(
  image: string,
  user: { uid: number; gid: number },
  bind: (source: string, target: string, readOnly: boolean) => Bind,
) {
  return {
    image,
    hostname: SANDBOX.service,
    command: ['/usr/sbin/sshd', '-D', '-e', '-f', `${SANDBOX.folder}/sshd_config`],
    working_dir: SANDBOX.work,
    stop_grace_period: '5s',
    ...LIMITS,
    shm_size: '64m',
    volumes: [bind('./sandbox', SANDBOX.folder, true), bind('./sandbox-work', SANDBOX.work, false)],
    tmpfs: temporary(`uid=${user.uid},gid=${user.gid},mode=0755`),
    networks: [SANDBOX.network],
    // A name that nobody here has is missed after a second, and not after ten.
    dns: [NOWHERE],
    dns_opt: ['timeout:1', 'attempts:1'],
    healthcheck: {
      test: ['CMD', 'python3', '-c', GREETING],
      interval: '30s',
      timeout: '10s',
      retries: 3,
      start_period: '30s',
    },
  }
}

/** Whether an ssh server greets. It is not asked to let anybody in. */
const GREETING = `import socket; s = socket.create_connection(("127.0.0.1", ${SANDBOX.port}), 5); assert s.recv(4) == b"SSH-"`
