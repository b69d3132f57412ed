import {
  type Answers,
  hasSandbox,
  hasSocket,
  keySecretOf,
  type Posture,
  type Provider,
  type Sandboxing,
} from '../deployment/answers.ts'
import { INSIDE } from '../deployment/layout.ts'
import { addressesOf } from '../deployment/network.ts'
import { EGRESS } from '../docker/compose.ts'
import { sandboxRecipe } from './image.ts'
import { dockerBackend, SANDBOX_CLIENT_KEY, SANDBOX_HOST_KEY, sandboxPolicy } from './sandbox.ts'

/** A secret as the gateway finds it: its name and the versioned file that holds its present value. */
export interface DeliveredSecret {
  name: string
  rotationId: string
}

/** The file of a secret, below the secrets folder: `gateway_token.20261123t014000-1a2b3c4d`. */
export function secretFileName(secret: DeliveredSecret): string {
  return `${secret.name}.${secret.rotationId}`
}

export const GATEWAY_TOKEN = 'gateway_token'

/** The secret that opens nginx in front of the gateway. The gateway itself never sees it. */
export const PROXY_PASSWORD = 'proxy_password'

/** The secrets that the gateway reads, by name. */
export function secretNamesOf(answers: Pick<Answers, 'providers' | 'extraSecrets'> & Sandboxing): string[] {
  return [
    GATEWAY_TOKEN,
    ...answers.providers.map(keySecretOf),
    ...answers.extraSecrets,
    ...(hasSandbox(answers) ? [SANDBOX_CLIENT_KEY] : []),
  ]
}

/** All secrets a deployment has, by name: the gateway's, and what stands before it. */
export function allSecretNamesOf(
  answers: Pick<Answers, 'providers' | 'extraSecrets' | 'access'> & Sandboxing,
): string[] {
  return [
    ...secretNamesOf(answers),
    ...(answers.access === 'proxy' ? [PROXY_PASSWORD] : []),
    ...(hasSandbox(answers) ? [SANDBOX_HOST_KEY] : []),
  ]
}

/** Nothing can be executed, in whatever way. */
const NO_EXEC = { mode: 'deny', strictInlineEval: true, applyPatch: { enabled: false, workspaceOnly: true } }

interface Tools {
  exec: object
  profile: string
  alsoAllow?: string[]
  deny: string[]
}

/**
 * Which tools the model gets, per posture. OpenClaw has no list of forbidden commands: a tool that is denied does not
 * exist for the model, which is stronger. `deny` wins over everything else (OpenClaw, "Tools: profiles and groups").
 */
const TOOLS: Record<Exclude<Posture, 'coding'>, Tools> = {
  chat: {
    exec: NO_EXEC,
    profile: 'messaging',
    deny: [
      'group:automation',
      'group:runtime',
      'group:fs',
      'group:ui',
      'group:nodes',
      'sessions_spawn',
      'sessions_send',
    ],
  },
  workspace: {
    exec: NO_EXEC,
    profile: 'messaging',
    alsoAllow: ['read', 'write', 'edit'],
    deny: [
      'group:automation',
      'group:runtime',
      'group:ui',
      'group:nodes',
      'sessions_spawn',
      'sessions_send',
      'apply_patch',
    ],
  },
}

/**
 * The gateway's configuration as OpenClaw 2026.9.6 enforces it. Every key exists there: unknown ones keep the gateway
 * from starting. Why each is set as it is stands beside it in `templates/openclaw.json.hbs`.
 */
export function gatewayPolicy(answers: Answers, secrets: readonly DeliveredSecret[]) {
  const { exec, ...tools }: Tools =
    answers.posture === 'coding' ? sandboxPolicy().tools : TOOLS[answers.posture]
  const ref = (name: string) => ({ source: 'file', provider: name, id: 'value' })
  const origins = [`http://127.0.0.1:${answers.port}`, `http://localhost:${answers.port}`]
  return {
    gateway: {
      mode: 'local',
      bind: 'lan',
      port: INSIDE.port,
      auth: {
        mode: 'token',
        token: ref(GATEWAY_TOKEN),
        allowTailscale: false,
        rateLimit: { maxAttempts: 10, windowMs: 60_000, lockoutMs: 300_000, exemptLoopback: true },
      },
      ...(answers.access === 'proxy' ? { trustedProxies: [addressesOf(answers.name).inside.ingress] } : {}),
      allowRealIpFallback: false,
      controlUi: {
        enabled: true,
        allowedOrigins: answers.access === 'proxy' ? [...origins, `https://${answers.proxyHost}`] : origins,
        embedSandbox: 'strict',
        allowExternalEmbedUrls: false,
        automaticallyFetchFavicons: false,
      },
      terminal: { enabled: false },
      cliAgents: { enabled: false },
      tailscale: { mode: 'off' },
      nodes: {
        pairing: { autoApproveLocal: false, sshVerify: false },
        browser: { mode: 'off' },
        pluginTools: { enabled: false },
        allowSkills: false,
      },
    },
    secrets: {
      providers: {
        ...Object.fromEntries(
          secrets.map(secret => [
            secret.name,
            { source: 'file', path: `${INSIDE.secrets}/${secretFileName(secret)}`, mode: 'singleValue' },
          ]),
        ),
        default: { source: 'env', allowlist: [] },
      },
    },
    models: {
      catalogRefresh: { enabled: false },
      ...(answers.providers.length === 0
        ? {}
        : {
            providers: Object.fromEntries(
              answers.providers.map(provider => [provider.id, modelProvider(provider, answers.model)]),
            ),
          }),
    },
    agents: {
      defaults: {
        workspace: INSIDE.workspace,
        sandbox: sandboxOf(answers),
        ...(answers.model === '' ? {} : { model: { primary: answers.model } }),
      },
    },
    tools: {
      ...tools,
      fs: { workspaceOnly: true },
      exec,
      elevated: { enabled: false },
      agentToAgent: { enabled: false },
      // "agent" would be everybody who writes to it: each has a session of it.
      sessions: { visibility: 'self' },
      loopDetection: { enabled: true },
      codeMode: false,
    },
    session: { dmScope: 'per-channel-peer' },
    commands: { bash: false, config: false, mcp: false, plugins: false, debug: false, restart: false },
    browser: { enabled: false },
    cron: { enabled: false },
    plugins: { allow: ['memory-core', ...answers.providers.filter(p => p.url === undefined).map(p => p.id)] },
    skills: { install: { allowUploadedArchives: false } },
    ...(answers.egress === 'closed' ? { proxy: { proxyUrl: `http://${EGRESS}:${INSIDE.proxyPort}` } } : {}),
    discovery: { mdns: { mode: 'off' } },
    logging: {
      level: 'info',
      consoleLevel: 'info',
      consoleStyle: 'json',
      file: INSIDE.log,
      maxFileBytes: 20 * 1024 * 1024,
      audit: { enabled: true, executionIdentity: true, messages: 'all' },
    },
    update: { checkOnStart: false, auto: { enabled: false } },
    telemetry: { enabled: false },
  }
}

/** Where an agent's commands run. */
function sandboxOf(answers: Answers) {
  if (hasSocket(answers)) return dockerBackend(answers, sandboxRecipe(answers).label)
  return hasSandbox(answers) ? sandboxPolicy().sandbox : { mode: 'off' }
}

function modelProvider(provider: Provider, model: string) {
  const apiKey = { source: 'file', provider: keySecretOf(provider), id: 'value' }
  if (provider.url === undefined) return { apiKey }
  const name = model.slice(model.indexOf('/') + 1)
  return {
    baseUrl: provider.url,
    apiKey,
    api: 'openai-completions',
    // A context that today's models all have; the answers do not ask for more than a person knows by heart.
    models: [{ id: name, name, contextWindow: 128_000, maxTokens: 4096 }],
  }
}
