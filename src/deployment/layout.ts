import { resolve } from 'node:path'

/** Where everything of one deployment lies, as absolute paths. ARCHITECTURE.md draws the folder. */
export interface Layout {
  root: string
  answers: string
  compose: string
  config: string
  configFile: string
  secrets: string
  state: string
  /** What the two at the border are told: whom to let out, and where to hand on. */
  border: string
  /** What the sandbox is told, and what its agents make in it. */
  sandbox: string
  sandboxWork: string
  /** Our own: journal, lock, what was rendered last, and the pointers of the secret store. */
  own: string
  journal: string
  lock: string
  base: string
  /** A move from one store to another that has begun and has not ended. */
  move: string
  store: string
  /** The same store with its values encrypted: one of the two is in use. */
  sealed: string
  /** What opens a store that is elsewhere, one file a store. Never mounted anywhere. */
  credentials: string
  /** What was scheduled, with the copy of this program that is run, and what cron's runs have said. */
  schedule: string
  tool: string
  scheduleLog: string
  cases: string
  runbooks: string
}

export function layoutOf(directory: string): Layout {
  const root = resolve(directory)
  const own = resolve(root, '.secure')
  return {
    root,
    answers: resolve(root, 'deployment.yaml'),
    compose: resolve(root, 'docker-compose.yml'),
    config: resolve(root, 'config'),
    configFile: resolve(root, 'config/openclaw.json'),
    secrets: resolve(root, 'secrets'),
    state: resolve(root, 'state'),
    border: resolve(root, 'border'),
    sandbox: resolve(root, 'sandbox'),
    sandboxWork: resolve(root, 'sandbox-work'),
    own,
    journal: resolve(own, 'journal.jsonl'),
    lock: resolve(own, 'lock'),
    base: resolve(own, 'base'),
    move: resolve(own, 'move.json'),
    store: resolve(own, 'store'),
    sealed: resolve(own, 'sealed'),
    credentials: resolve(own, 'credentials'),
    schedule: resolve(own, 'schedule.json'),
    tool: resolve(own, 'tool'),
    scheduleLog: resolve(own, 'schedule.log'),
    cases: resolve(root, 'cases'),
    runbooks: resolve(root, 'runbooks'),
  }
}

/** The paths inside the container. They do not depend on the image's own user, so any user id can run the gateway. */
export const INSIDE = {
  home: '/home/openclaw',
  state: '/home/openclaw/.openclaw',
  cache: '/home/openclaw/.cache',
  workspace: '/home/openclaw/.openclaw/workspace',
  log: '/home/openclaw/.openclaw/logs/gateway.log',
  config: '/etc/openclaw',
  configFile: '/etc/openclaw/openclaw.json',
  secrets: '/run/secrets',
  port: 18789,
  border: '/etc/border',
  proxyPort: 3128,
} as const
