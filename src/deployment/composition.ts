import { createHash } from 'node:crypto'
import { EGRESS, INGRESS, SERVICE } from '../docker/compose.ts'
import { bindLabel, profileOption, profileText } from '../docker/confinement.ts'
import { type DeliveredSecret, gatewayPolicy, secretNamesOf } from '../gateway/policy.ts'
import { ENGINE_SOCKET, SANDBOX, sandboxFiles, sandboxService } from '../gateway/sandbox.ts'
import { type Answers, hasSocket } from './answers.ts'
import type { FileOwner } from './files.ts'
import { INSIDE } from './layout.ts'
import { addressesOf, LISTENS, NETWORKS, NOWHERE } from './network.ts'

/** The images of a deployment, each as Compose is to name it. */
export interface ImageNames {
  gateway: string
  /** Squid and HAProxy. */
  border: string
  /** Where a coding agent's commands run; undefined for every other posture. */
  sandbox?: string | undefined
}

/** What the containers are made with besides the answers: a change of it makes them anew. */
export interface Profiles {
  seccomp: string
  squid: string
  haproxy: string
}

/**
 * The Compose file's structure. Why each control is there stands beside it in `templates/docker-compose.yml.hbs`.
 * Compose reads `$` as the start of a variable, so every one is doubled.
 */
export function composition(
  answers: Answers,
  images: ImageNames,
  user: FileOwner,
  profiles: Profiles,
  isLabelled = false,
  socketGroup = 0,
) {
  const bind = bindWith(bindLabel(isLabelled))
  const addresses = addressesOf(answers.name)
  const closed = answers.egress === 'closed'
  const ids = `uid=${user.uid},gid=${user.gid}`
  const common = hardened(answers, user)
  const ulimits = { ...common.ulimits, fsize: answers.stateLimit * 1024 ** 2 }
  const seccomp = {
    'create-openclaw-secure.seccomp': answers.seccomp === 'fitted' ? hash(profiles.seccomp) : answers.seccomp,
  }
  return doubleDollars({
    name: answers.name,
    services: {
      [SERVICE]: {
        ...common,
        security_opt: [...common.security_opt, ...(answers.apparmor ? [profileOption(answers.name)] : [])],
        image: images.gateway,
        hostname: answers.name,
        command: ['node', 'openclaw.mjs', 'gateway', '--bind', 'lan', '--port', String(INSIDE.port)],
        stop_grace_period: '60s',
        pids_limit: answers.pids,
        mem_limit: `${answers.memory}m`,
        memswap_limit: `${answers.memory}m`,
        cpus: answers.cpus,
        oom_score_adj: 500,
        ulimits,
        environment: {
          HOME: INSIDE.home,
          OPENCLAW_STATE_DIR: INSIDE.state,
          OPENCLAW_CONFIG_PATH: INSIDE.configFile,
          XDG_CACHE_HOME: INSIDE.cache,
          OPENCLAW_DISABLE_BONJOUR: '1',
          NODE_OPTIONS: `--max-old-space-size=${Math.floor(answers.memory / 2)} --disable-sigusr1`,
          TZ: answers.timezone,
        },
        volumes: [
          bind('./config', INSIDE.config, true),
          bind('./secrets', INSIDE.secrets, true),
          bind('./state', INSIDE.state, false),
          // Labelling it for containers would be labelling it for all of them.
          ...(hasSocket(answers) ? [bindWith({})(ENGINE_SOCKET, ENGINE_SOCKET, true)] : []),
        ],
        ...(hasSocket(answers) ? { group_add: [String(socketGroup)] } : {}),
        tmpfs: [
          '/tmp:rw,noexec,nosuid,nodev,size=512m,nr_inodes=64k,mode=1777',
          `${INSIDE.cache}:rw,noexec,nosuid,nodev,size=64m,nr_inodes=16k,${ids},mode=0700`,
          '/dev/shm:rw,noexec,nosuid,nodev,size=64m,nr_inodes=1k,mode=1777',
        ],
        networks: [
          NETWORKS.inside,
          ...(closed ? [] : [NETWORKS.outside]),
          ...(images.sandbox === undefined ? [] : [NETWORKS.sandbox]),
        ],
        // A container of ours that is away is missed after a second, and not after ten.
        ...(closed ? QUIET : {}),
        healthcheck: {
          test: ['CMD', 'node', '-e', HEALTH_SCRIPT],
          interval: '30s',
          timeout: '10s',
          retries: 3,
          start_period: '120s',
        },
        // Compose makes the container anew when a label changes: a new profile is loaded, and a new policy is in force for
        // certain. A running gateway would take most changes up, but goes on with the old policy when it dislikes one.
        labels: {
          'create-openclaw-secure.policy': hash(JSON.stringify(gatewayPolicy(answers, namesOnly(answers)))),
          // Loaded under its name: a new text has to be seen as a new container.
          ...(answers.apparmor ? { 'create-openclaw-secure.apparmor': hash(profileText(answers.name)) } : {}),
          ...seccomp,
        },
      },
      [INGRESS]: {
        ...common,
        ...SMALL,
        image: images.border,
        command: ['haproxy', '-db', '-f', `${INSIDE.border}/haproxy.cfg`],
        volumes: [bind('./border', INSIDE.border, true)],
        tmpfs: ['/tmp:rw,noexec,nosuid,nodev,size=8m,nr_inodes=1k,mode=1777'],
        ports: [`127.0.0.1:${answers.port}:${INSIDE.port}`],
        networks: {
          [NETWORKS.inside]: { ipv4_address: addresses.inside.ingress },
          // A name that is its own on this network alone: it listens there and nowhere else.
          [NETWORKS.front]: { aliases: [LISTENS.ingress] },
        },
        // Nobody else is to say where the gateway is.
        ...QUIET,
        healthcheck: knock(LISTENS.ingress, INSIDE.port),
        labels: { 'create-openclaw-secure.haproxy': hash(profiles.haproxy), ...seccomp },
      },
      ...(closed
        ? {
            [EGRESS]: {
              ...common,
              ...SMALL,
              image: images.border,
              command: ['squid', '-N', '-f', `${INSIDE.border}/squid.conf`],
              volumes: [bind('./border', INSIDE.border, true)],
              tmpfs: [
                '/tmp:rw,noexec,nosuid,nodev,size=8m,nr_inodes=1k,mode=1777',
                `/run:rw,noexec,nosuid,nodev,size=8m,nr_inodes=1k,${ids},mode=0700`,
              ],
              networks: {
                [NETWORKS.inside]: { aliases: [LISTENS.egress] },
                [NETWORKS.outside]: {},
              },
              healthcheck: knock(LISTENS.egress, INSIDE.proxyPort),
              labels: { 'create-openclaw-secure.squid': hash(profiles.squid), ...seccomp },
            },
          }
        : {}),
      ...(images.sandbox === undefined
        ? {}
        : {
            [SANDBOX.service]: {
              ...common,
              ...sandboxService(images.sandbox, user, bind),
              ulimits,
              // Its host key is another one after a rotation, for which sshd is not started anew.
              labels: {
                'create-openclaw-secure.sandbox': hash(JSON.stringify(sandboxFiles(user, 'host_key', []))),
                ...seccomp,
              },
            },
          }),
    },
    networks: {
      [NETWORKS.inside]: sealed(addresses.inside),
      [NETWORKS.front]: {
        driver: 'bridge',
        driver_opts: {
          'com.docker.network.bridge.name': addresses.bridge,
          'com.docker.network.bridge.enable_icc': 'false',
          'com.docker.network.bridge.enable_ip_masquerade': 'false',
        },
      },
      [NETWORKS.outside]: {
        driver: 'bridge',
        driver_opts: { 'com.docker.network.bridge.enable_icc': 'false' },
      },
      ...(images.sandbox === undefined ? {} : { [NETWORKS.sandbox]: sealed(undefined) }),
    },
  })
}

/** What every container of a deployment has in common. */
function hardened(answers: Pick<Answers, 'seccomp'>, user: FileOwner) {
  return {
    pull_policy: 'never',
    user: `${user.uid}:${user.gid}`,
    init: true,
    restart: 'unless-stopped',
    read_only: true,
    cap_drop: ['ALL'],
    security_opt: [
      'no-new-privileges:true',
      ...(answers.seccomp === 'fitted' ? ['seccomp:./seccomp-profile.json'] : []),
    ],
    ipc: 'private',
    ulimits: { core: 0, nofile: { soft: FILE_LIMIT, hard: FILE_LIMIT } },
    logging: { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '5' } },
  }
}

/** The limits of a program that hands on bytes. */
const SMALL = { stop_grace_period: '5s', pids_limit: 64, mem_limit: '128m', memswap_limit: '128m', cpus: 1 }

/** Open files of one process. The gateway has some 60 open at rest. */
export const FILE_LIMIT = 8192

const QUIET = { dns: [NOWHERE], dns_opt: ['timeout:1', 'attempts:1'] }

/** Asks the liveness path, which needs no token. Node is the one program every OpenClaw image has. */
const HEALTH_SCRIPT = `fetch('http://127.0.0.1:${INSIDE.port}/healthz').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))`

/** Whether something listens: it is asked nothing. */
function knock(host: string, port: number) {
  return {
    test: ['CMD', 'bash', '-c', `</dev/tcp/${host}/${port}`],
    interval: '30s',
    timeout: '5s',
    retries: 3,
    start_period: '10s',
  }
}

/** A network without a way out and without an address of this machine, whose own services are out of reach as well. */
function sealed(own: { subnet: string; range: string; gateway: string } | undefined) {
  return {
    driver: 'bridge',
    internal: true,
    driver_opts: { 'com.docker.network.bridge.inhibit_ipv4': 'true' },
    ...(own === undefined
      ? {}
      : { ipam: { config: [{ subnet: own.subnet, ip_range: own.range, gateway: own.gateway }] } }),
  }
}

/** A bind mount, as this machine wants it labelled. */
function bindWith(label: ReturnType<typeof bindLabel>) {
  return (source: string, target: string, readOnly: boolean) => ({
    ...{ type: 'bind', source, target, read_only: readOnly },
    bind: { create_host_path: false, ...label },
  })
}

/** The secrets without their present values: a new token is taken up by the running gateway. */
function namesOnly(answers: Answers): DeliveredSecret[] {
  return secretNamesOf(answers).map(name => ({ name, rotationId: '' }))
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** Doubles every `$` in every string, so that Compose hands on what was meant. */
function doubleDollars<T>(value: T): T {
  if (typeof value === 'string') return value.replaceAll('$', '$$$$') as T & string
  if (Array.isArray(value)) return value.map(doubleDollars) as T & unknown[]
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, doubleDollars(inner)])) as T &
      object
  return value
}
