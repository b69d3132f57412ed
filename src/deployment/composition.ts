import { createHash } from 'node:crypto'
import { SERVICE } from '../docker/compose.ts'
import { type DeliveredSecret, gatewayPolicy, secretNamesOf } from '../gateway/policy.ts'
import type { Answers } from './answers.ts'
import type { FileOwner } from './files.ts'
import { INSIDE } from './layout.ts'
import { bridgeNetwork } from './network.ts'

/**
 * The Compose file's structure. Why each control is there stands beside it in `templates/docker-compose.yml.hbs`.
 * Compose reads `$` as the start of a variable, so every one is doubled.
 */
export function composition(answers: Answers, image: string, user: FileOwner, seccompProfile: string) {
  const network = bridgeNetwork(answers.name)
  const ids = `uid=${user.uid},gid=${user.gid}`
  return doubleDollars({
    name: answers.name,
    services: {
      [SERVICE]: {
        image,
        pull_policy: 'never',
        hostname: answers.name,
        command: ['node', 'openclaw.mjs', 'gateway', '--bind', 'lan', '--port', String(INSIDE.port)],
        user: `${user.uid}:${user.gid}`,
        init: true,
        restart: 'unless-stopped',
        stop_grace_period: '60s',
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true', 'seccomp:./seccomp-profile.json'],
        ipc: 'private',
        pids_limit: answers.pids,
        mem_limit: `${answers.memory}m`,
        memswap_limit: `${answers.memory}m`,
        cpus: answers.cpus,
        shm_size: '64m',
        ulimits: { core: 0, nofile: { soft: FILE_LIMIT, hard: FILE_LIMIT } },
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
        ],
        tmpfs: [
          '/tmp:rw,noexec,nosuid,nodev,size=512m,mode=1777',
          `${INSIDE.cache}:rw,noexec,nosuid,nodev,size=64m,${ids},mode=0700`,
        ],
        ports: [`127.0.0.1:${answers.port}:${INSIDE.port}`],
        networks: ['gateway'],
        healthcheck: {
          test: ['CMD', 'node', '-e', HEALTH_SCRIPT],
          interval: '30s',
          timeout: '10s',
          retries: 3,
          start_period: '120s',
        },
        logging: { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '5' } },
        // Compose makes the container anew when a label changes: a new profile is loaded, and a new policy is in force for
        // certain. A running gateway would take most changes up, but goes on with the old policy when it dislikes one.
        labels: {
          'create-openclaw-secure.policy': hash(JSON.stringify(gatewayPolicy(answers, namesOnly(answers)))),
          'create-openclaw-secure.seccomp': hash(seccompProfile),
        },
      },
    },
    networks: {
      gateway: {
        driver: 'bridge',
        driver_opts: {
          'com.docker.network.bridge.name': network.bridge,
          'com.docker.network.bridge.enable_icc': 'false',
        },
        ...(answers.access === 'proxy'
          ? { ipam: { config: [{ subnet: network.subnet, gateway: network.gateway }] } }
          : {}),
      },
    },
  })
}

/** Open files of one process. The gateway has some 60 open at rest. */
export const FILE_LIMIT = 8192

/** Asks the liveness path, which needs no token. Node is the one program every OpenClaw image has. */
const HEALTH_SCRIPT = `fetch('http://127.0.0.1:${INSIDE.port}/healthz').then(r=>process.exit(r.ok?0:1),()=>process.exit(1))`

function bind(source: string, target: string, readOnly: boolean) {
  return { type: 'bind', source, target, read_only: readOnly, bind: { create_host_path: false } }
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
