/**
 * `npm run bench:sandbox`: what the sandbox costs an agent. The same turns of the real agent, with its tools in the sandbox, and then
 * in the gateway's own container, where the configuration is changed for that. From the model's call of a tool to the question that
 * brings its result. Needs the live environment (test/live/up). With `-- --write`, the table in docs/sandbox.md is replaced.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { loadavg } from 'node:os'
import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeAtomic } from '../src/deployment/files.ts'
import { SANDBOX } from '../src/gateway/sandbox.ts'
import { parseCommentedJson } from '../src/json.ts'
import { containerOf, freshFolder, remove, sh } from './live/harness.ts'
import { type ScriptedModel, startScriptedModel, type ToolCall } from './live/scripted-model.ts'
import { edit, exec, read, setUpCoding, turnIn, write } from './live/turns.ts'

const TURNS = 3
const CALLS = 10
const TOOLS = ['exec', 'read', 'write', 'edit'] as const
type Took = Record<(typeof TOOLS)[number], number[]>

const folder = freshFolder('benchsb')
const model = await startScriptedModel()
const clock = await startClock(model)
try {
  const made = await setUpCoding(folder, clock.model, ['--quiet'])
  const gateway = await containerOf(folder)
  if (gateway === '') throw new Error(made.stderr)
  const sandboxed = await measure(gateway)
  await openUp(gateway)
  const bare = await measure(gateway)

  const rows = TOOLS.map(tool => {
    const [inside, beside] = [median(sandboxed[tool]), median(bare[tool])]
    const slowest = ms(Math.max(...sandboxed[tool]))
    return `| \`${tool}\` | ${ms(inside)} (${slowest}) | ${ms(beside)} | ${ms(inside - beside)} |`
  })
  const table = [
    '| tool | in the sandbox, median (slowest) | in the gateway, median | overhead |',
    '|---|---|---|---|',
    ...rows,
  ].join('\n')
  process.stdout.write(
    `${table}\n\n${TURNS * CALLS} calls of each; load ${loadavg()[0]?.toFixed(1)} at the end\n`,
  )
  if (process.argv.includes('--write')) rewrite(table)
} finally {
  clock.close()
  model.close()
  await remove(folder)
}

/** Turns of each tool's calls, one after the other. The first call of a turn makes the connection and is not counted. */
async function measure(gateway: string): Promise<Took> {
  const took: Took = { exec: [], read: [], write: [], edit: [] }
  for (let turn = 0; turn < TURNS; turn++) {
    const each = (make: (index: number) => ToolCall) =>
      Array.from({ length: CALLS }, (_, index) => make(index))
    const calls = [
      exec('echo first'),
      ...each(index => exec(`echo ${index}`)),
      ...each(index => write(`f${index}.txt`, `before ${index}`)),
      ...each(index => read(`f${index}.txt`)),
      ...each(index => edit(`f${index}.txt`, 'before', 'after')),
    ]
    clock.took.length = 0
    const answers = await turnIn(gateway, clock.model, calls)
    const wrong = answers.find(answer => /"status": "error"|was not called/.test(answer))
    if (wrong !== undefined || clock.took.length !== calls.length)
      throw new Error(`${clock.took.length} calls were answered of ${calls.length}: ${wrong}`)
    calls.slice(1).forEach(({ tool }, index) => {
      const known = TOOLS.find(one => one === tool)
      if (known !== undefined) took[known].push(clock.took[index + 1] ?? Number.NaN)
    })
  }
  return took
}

/** Has the agent's tools run in the gateway's own container, as an agent without a sandbox has them. */
async function openUp(gateway: string): Promise<void> {
  const path = resolve(folder, 'config/openclaw.json')
  const { uid, gid, mode } = statSync(path)
  const config = parseCommentedJson(readFileSync(path, 'utf8')) as {
    agents: { defaults: object }
    tools: object
  }
  Object.assign(config.agents.defaults, { sandbox: { mode: 'off' } })
  Object.assign(config.tools, { exec: { host: 'gateway', mode: 'full' } })
  writeAtomic(path, JSON.stringify(config), mode & 0o7777, { uid, gid })
  const open = { security: 'full', ask: 'off', askFallback: 'full', autoAllowSkills: false }
  const document = { version: 1, defaults: open, agents: { main: { ...open, allowlist: [] } } }
  const set = [
    'exec',
    '--interactive',
    gateway,
    'node',
    'openclaw.mjs',
    'approvals',
    'set',
    '--stdin',
    '--json',
  ]
  const { code, stderr } = await sh('docker', set, { input: JSON.stringify(document) })
  if (code !== 0) throw new Error(`approvals set: ${stderr}`)
  await sh('docker', ['restart', gateway])
  for (let tries = 0; tries < 300; tries++) {
    const health =
      'fetch("http://127.0.0.1:18789/startupz").then(r=>process.exit(r.ok?0:1),()=>process.exit(1))'
    if ((await sh('docker', ['exec', gateway, 'node', '-e', health])).code === 0) break
    await sleep(500)
  }
  // Nothing that is measured now may go there.
  await sh('docker', ['stop', '--time', '1', await containerOf(folder, SANDBOX.service)])
}

/** Stands before the model and takes the time from each of its answers to the next question. */
async function startClock(of: ScriptedModel) {
  const took: number[] = []
  let answered: number | undefined
  const server = createServer((incoming, outgoing) => {
    if (incoming.method === 'POST' && answered !== undefined) took.push(performance.now() - answered)
    const { method = 'GET', url = '/', headers } = incoming
    const onwards = request({ host: '127.0.0.1', port: of.port, method, path: url, headers }, answer => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      const parts: string[] = []
      answer.on('data', part => parts.push(String(part)))
      // Only a call of a tool is waited for; the last word of a turn is not.
      answer.on('end', () => {
        answered = parts.join('').includes('tool_calls') ? performance.now() : undefined
      })
      answer.pipe(outgoing)
    })
    incoming.pipe(onwards)
  })
  await new Promise<void>(done => server.listen(0, '0.0.0.0', done))
  const { port } = server.address() as AddressInfo
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  return { took, model: { ...of, port }, close }
}

function rewrite(table: string): void {
  const path = resolve(import.meta.dirname, '../../docs/sandbox.md')
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.replace(/\| tool \| in the sandbox[\s\S]*?(?=\n\n)/, table))
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

function ms(milliseconds: number): string {
  return `${Math.round(milliseconds)} ms`
}
