/**
 * What is attacked: deployments of this tool, and what people do without it. Each has a name and a port of its own, a gateway that
 * talks to the scripted model, and is removed afterwards.
 */

import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { packageFile } from '../../src/deployment/package.ts'
import { SANDBOX_SERVICE } from '../../src/docker/compose.ts'
import {
  type Attack,
  isRefusal,
  isShell,
  isTool,
  judgeTool,
  type Result,
  readResults,
  type Surroundings,
  scriptOf,
} from '../../steps/attack/attack.ts'
import { openDoors } from '../../steps/attack/doors.ts'
import { cli, freePort, freshFolder, IMAGE, quick, remove, sh } from './harness.ts'
import { resolvable, standOn } from './peers.ts'
import { type ScriptedModel, startScriptedModel, type ToolCall } from './scripted-model.ts'

/** A place in which attacks are made. */
export interface Target {
  /** `chat, a gateway that was taken over`. */
  name: string
  /** Whether an attack that gets through is a defect of ours. */
  ours: boolean
  /** The gateway's. */
  container: string
  attack(attacks: readonly Attack[]): Promise<Result[]>
  remove(): Promise<void>
}

/** What stands around all targets. */
export interface Stage {
  surroundings: Surroundings
  model: ScriptedModel
  close(): Promise<void>
}

/** Docker's default bridge, at which every container can reach this machine (dockerd's `bip`). */
const MACHINE = '172.17.0.1'
/** From the ranges for tests and for one's own use (RFC 2544, RFC 4193): nobody out there has them. */
const WORLD = { device: 'ocs-attack0', v4: '198.18.77.1', v6: 'fd0c:5ec0:77::1' }
const METADATA = '169.254.169.254'
const NEIGHBOUR = `ocs-attack-neighbour-${process.pid}`
const V6_NETWORK = `ocs-attack-v6-${process.pid}`

/** Listeners at addresses of a bridge of its own, a neighbour, and the model. Needs root, for the bridge, which every kernel with Docker has. */
export async function setStage(): Promise<Stage> {
  const must = async (file: string, ...args: string[]) => {
    const { code, stdout, stderr } = await sh(file, args)
    if (code !== 0) throw new Error(`${file} ${args[0]} ${args[1]}: ${stderr.trim()}`)
    return stdout.trim()
  }
  const clear = async () => {
    await sh('docker', ['rm', '--force', NEIGHBOUR])
    await sh('docker', ['network', 'rm', V6_NETWORK])
  }
  await clear()
  const away = await standOn(WORLD.device, [WORLD.v4, WORLD.v6, METADATA])
  await must('docker', 'network', 'create', '--ipv6', '--subnet', 'fd0c:5ec0:78::/64', V6_NETWORK)
  await must(
    ...(['docker', 'run', '--detach', '--name', NEIGHBOUR, '--entrypoint', 'node', IMAGE] as const),
    '-e',
    'require("net").createServer(s => s.end("neighbour")).listen(8080)',
  )
  await must('docker', 'network', 'connect', V6_NETWORK, NEIGHBOUR)
  const addresses = `{{(index .NetworkSettings.Networks "${V6_NETWORK}").IPAddress}} {{.NetworkSettings.Networks.bridge.IPAddress}}`
  const [neighbour = ''] = (await must('docker', 'inspect', '--format', addresses, NEIGHBOUR)).split(' ')
  const doors = await openDoors(WORLD.v4)
  const model = await startScriptedModel()
  const { TCP = '' } = doors.surroundings
  const name = await resolvable()
  return {
    surroundings: {
      ...doors.surroundings,
      HOST: MACHINE,
      OUTSIDE6: WORLD.v6,
      METADATA: TCP,
      NEIGHBOUR: neighbour,
      NEIGHBOUR_PORT: '8080',
      PROCESSES: '400',
      MEMORY: '2300',
      PROCESSORS: String(availableParallelism()),
      PROBE_BASE64: readFileSync(
        packageFile(process.arch === 'arm64' ? 'native/probe-aarch64' : 'native/probe-x86_64'),
      ).toString('base64'),
      ...(name === undefined ? {} : { NAME: name }),
    },
    model,
    async close() {
      doors.close()
      model.close()
      await away()
      await clear()
    },
  }
}

/** Sets a deployment of ours up. Errors: when setup leaves no gateway, with what it said. */
export async function ours(posture: string, { model, surroundings }: Stage): Promise<Target[]> {
  const folder = freshFolder(`attack-${posture}`)
  const key = resolve(folder, '../model.key')
  writeFileSync(key, `sk-scripted-${'a1B2'.repeat(8)}`, { mode: 0o600 })
  const made = await cli(
    [
      ...(await quick(folder)),
      ...['--agent', posture, '--cpus', '1', '--quiet'],
      ...['--provider', `local=http://${MACHINE}:${model.port}/v1`, '--model', 'local/m'],
      ...['--provider-key', `local=@${key}`],
    ],
    { timeout: 900_000 },
  )
  const container = await serviceOf(folder, 'openclaw-gateway')
  if (container === undefined) {
    await remove(folder)
    throw new Error(`no gateway was set up: ${made.stderr}`)
  }
  const shell = (await serviceOf(folder, SANDBOX_SERVICE)) ?? container
  const [where, gateway] = [
    { ...surroundings, ...(await ownOf(shell, folder)) },
    { ...surroundings, ...(await ownOf(container, folder)) },
  ]
  const agent: Target = {
    name: `${posture}, by its agent`,
    ours: true,
    container,
    attack: attacks => byAgent(model, container, attacks, where),
    remove: () => remove(folder),
  }
  const taken: Target = {
    name: `${posture}, in a gateway that was taken over`,
    ours: true,
    container,
    attack: attacks => byShell(container, attacks, gateway),
    remove: async () => {},
  }
  return [agent, taken]
}

/** What a container is meant to have: its temporary folders, and what is mounted from the deployment's folder. */
async function ownOf(container: string, folder: string): Promise<{ OWN: string }> {
  const { stdout } = await sh('docker', ['inspect', container])
  const [{ HostConfig, Mounts }] = JSON.parse(stdout) as [
    { HostConfig: { Tmpfs: object | null }; Mounts: { Source: string; Destination: string }[] },
  ]
  const mounted = Mounts.filter(({ Source }) => Source.startsWith(`${folder}/`))
  return {
    OWN: [...Object.keys(HostConfig.Tmpfs ?? {}), ...mounted.map(one => one.Destination)].join('\n'),
  }
}

/** OpenClaw's own Compose file, and `docker run` as it is found in forums. */
export async function theirs(
  name: 'official' | 'docker-run' | 'docker-run-as-root',
  { model, surroundings }: Stage,
): Promise<Target> {
  const folder = freshFolder(name)
  const project = basename(folder)
  const fixtures = ['foreign', 'attack'].map(kind => packageFile(`test/fixtures/${kind}/${name}`))
  cpSync(fixtures.find(existsSync) ?? name, folder, { recursive: true })
  const port = await freePort()
  const provider = {
    baseUrl: `http://${MACHINE}:${model.port}/v1`,
    apiKey: 'sk-not-a-real-key-000000',
    api: 'openai-completions',
    models: [{ id: 'm', name: 'm', contextWindow: 128_000, maxTokens: 4096 }],
  }
  const config = {
    gateway: { mode: 'local' },
    models: { providers: { local: provider } },
    agents: { defaults: { model: { primary: 'local/m' } } },
  }
  const write = (path: string, text: string) => {
    mkdirSync(resolve(folder, path, '..'), { recursive: true })
    writeFileSync(resolve(folder, path), text)
  }
  write('data/openclaw.json', JSON.stringify(config))
  // What editing the file by hand leaves beside it.
  write('data/openclaw.json.bak', JSON.stringify(config))
  for (const path of ['', 'openclaw.json', 'openclaw.json.bak'])
    chownSync(resolve(folder, 'data', path), 1000, 1000)
  const secret = 'not a real secret\n'
  for (const path of [
    '.ssh/id_ed25519',
    '.aws/credentials',
    '.gnupg/secring.gpg',
    '.git-credentials',
    '.bash_history',
  ])
    write(`home/${path}`, secret)
  for (const path of ['gateway_token.1', 'gateway_token.2']) write(`secrets/${path}`, secret)
  const env = { ...process.env, NAME: project, PORT: String(port), IMAGE, NETWORK: V6_NETWORK }
  let container = project
  if (name === 'official') {
    const own = {
      OPENCLAW_IMAGE: IMAGE,
      OPENCLAW_GATEWAY_TOKEN: 'replace-with-long-random-token',
      OPENCLAW_GATEWAY_PORT: port,
    }
    write(
      '.env',
      Object.entries(own)
        .map(([key, value]) => `${key}=${value}\n`)
        .join(''),
    )
    const up = await sh('docker', ['compose', '--project-name', project, 'up', '--detach'], { cwd: folder })
    if (up.code !== 0) throw new Error(up.stderr)
    container = (await serviceOf(folder, 'openclaw-gateway')) ?? project
  } else {
    chmodSync(resolve(folder, 'run.sh'), 0o755)
    const up = await sh('sh', ['run.sh'], { cwd: folder, env })
    if (up.code !== 0) throw new Error(up.stderr)
  }
  const dismantle = async () => {
    await sh('docker', ['rm', '--force', '--volumes', container])
    await sh('docker', ['network', 'rm', `${project}_default`])
    rmSync(resolve(folder, '..'), { recursive: true, force: true })
  }
  try {
    await ready(port)
  } catch (error) {
    await dismantle()
    throw error
  }
  const where = { ...surroundings, ...(await ownOf(container, folder)) }
  const words = {
    official: 'OpenClaw’s Compose file, by its agent',
    'docker-run': 'docker run, by its agent',
    'docker-run-as-root': 'docker run as root, by its agent',
  }
  return {
    name: words[name],
    ours: false,
    container,
    attack: attacks => byAgent(model, container, attacks, where),
    remove: dismantle,
  }
}

async function serviceOf(folder: string, service: string): Promise<string | undefined> {
  const labels = [`project=${basename(folder)}`, `service=${service}`]
  const filters = labels.flatMap(label => ['--filter', `label=com.docker.compose.${label}`])
  const { stdout } = await sh('docker', ['ps', '--quiet', '--no-trunc', ...filters])
  return stdout.trim() || undefined
}

/** From a shell inside the container, as its user: what a process can do that was taken over. */
async function byShell(
  container: string,
  attacks: readonly Attack[],
  surroundings: Surroundings,
): Promise<Result[]> {
  const { stdout } = await sh('docker', ['exec', '--interactive', container, 'sh'], {
    input: scriptOf(attacks, surroundings),
    timeout: 300_000,
  })
  return readResults(attacks, stdout, surroundings)
}

/** OpenClaw ends a turn whose calls of one tool keep failing (tools.loopDetection): ten of them. */
const PER_TURN = 8
let turns = 0

/** Shows that the agent's commands are run, by something that the call does not say. */
const CONTROL: ToolCall = { tool: 'exec', arguments: { command: 'echo ocs-$((40 + 2))' } }

/**
 * One turn of the agent that makes these calls, and the control behind them. Returns what the tools have answered: a sandbox
 * that is broken stops nobody.
 */
async function turn(
  model: ScriptedModel,
  container: string,
  calls: readonly ToolCall[],
): Promise<(string | undefined)[]> {
  const { message, answers } = model.play(`attack-${process.pid}-${turns++}`, [...calls, CONTROL])
  await sh(
    'docker',
    [
      // Compose's own file hands the machine's port to the container, and the command would call that.
      ...['exec', '--env', 'OPENCLAW_GATEWAY_PORT=18789', container, 'node', 'openclaw.mjs', 'agent'],
      ...['--agent', 'main', '--session-key', `agent:main:${message.replace('play ', '')}`],
      ...['--message', message, '--json'],
    ],
    { timeout: 600_000 },
  )
  return heard(answers)
}

/** The answers without the control's, which is the last; none of them where it was neither run nor refused by OpenClaw. */
export function heard(answers: readonly (string | undefined)[]): (string | undefined)[] {
  const [others, control = ''] = [answers.slice(0, -1), answers.at(-1)]
  return /\bocs-42\b/.test(control) || isRefusal(control) ? others : others.map(() => undefined)
}

/** Through a turn of the real agent, whose model was talked into it: one call of exec for each threat, and the tools by name. */
async function byAgent(
  model: ScriptedModel,
  container: string,
  attacks: readonly Attack[],
  surroundings: Surroundings,
): Promise<Result[]> {
  const threats = [...new Set(attacks.map(attack => attack.threat))]
  const batches = threats.map(threat => attacks.filter(attack => attack.threat === threat && isShell(attack)))
  const named = attacks.filter(isTool)
  const calls: ToolCall[] = [
    ...batches.map(batch => ({
      tool: 'exec',
      arguments: { command: scriptOf(batch, surroundings), yieldMs: 120_000, timeoutSeconds: 170 },
    })),
    ...named.map(({ how }) => ({ tool: how.tool, arguments: how.arguments })),
  ]
  const answers: (string | undefined)[] = []
  for (let from = 0; from < calls.length; from += PER_TURN)
    answers.push(...(await turn(model, container, calls.slice(from, from + PER_TURN))))
  const byName = named.map((attack, index) => judgeTool(attack, answers[batches.length + index]))
  const byScript = batches.flatMap((batch, index) => {
    const answer = answers[index]
    return /^ocs-result\t/m.test(answer ?? '')
      ? readResults(batch, answer ?? '', surroundings)
      : batch.map(attack => refused(attack, answer))
  })
  const all = new Map([...byName, ...byScript].map(result => [result.attack.id, result]))
  return attacks.flatMap(attack => all.get(attack.id) ?? [])
}

/** The tool that would have run the script did not: that is a refusal when OpenClaw says so. */
function refused(attack: Attack, answer: string | undefined): Result {
  const seen = (answer ?? 'the tool was never called, or does not work').replace(/\s+/g, ' ').slice(0, 140)
  return { attack, outcome: isRefusal(answer ?? '') ? 'stopped' : 'unknown', seen }
}

async function ready(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const signal = AbortSignal.timeout(2000)
    if (
      await fetch(`http://127.0.0.1:${port}/readyz`, { signal }).then(
        answer => answer.ok,
        () => false,
      )
    )
      return
    await sleep(600)
  }
  throw new Error('the gateway never became ready')
}
