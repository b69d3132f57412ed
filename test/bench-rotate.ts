/**
 * `npm run bench:rotate`: what a rotation costs the clients of a running gateway. Twenty in a row under traffic, and
 * beside them the gateway's own `secrets reload` of a file that was changed in place. Needs the live environment
 * (test/live/up). With `-- --write`, the table in docs/rotation.md is replaced.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { writeAtomic } from '../src/deployment/files.ts'
import { Journal } from '../src/procedure/journal.ts'
import { generateToken } from '../src/secret.ts'
import { cli, containerOf, freePort, freshFolder, quick, remove } from './live/harness.ts'
import { startTraffic, status } from './live/traffic.ts'

const ROUNDS = 20
const folder = freshFolder('benchrot')
const port = await freePort()
try {
  const made = await cli([...(await quick(folder, port)), '--quiet'])
  if (made.code !== 0) throw new Error(made.stderr)
  const own: number[] = []
  const whole: number[] = []
  const traffic = startTraffic(folder, port)
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now()
    const { code, stderr } = await cli(['rotate', '--dir', folder, '--yes', '--json'])
    whole.push(performance.now() - began)
    if (code !== 0) throw new Error(stderr)
    own.push(switchOver())
  }
  const seen = await traffic.stop()
  const reloads: number[] = []
  for (let round = 0; round < 5; round++) reloads.push(await ownReload())

  const ratio = median(own) / median(reloads)
  const rows = [
    ['rotations in a row', String(ROUNDS)],
    ['health probes / failed', `${seen.probes} / ${seen.failedProbes}`],
    ['authenticated requests / changes of token', `${seen.requests} / ${seen.changes}`],
    ['time in which neither token was taken', `${Math.round(seen.gap)} ms`],
    [
      'new file written → new one taken and old one refused, median (slowest)',
      `${seconds(median(own))} (${seconds(Math.max(...own))})`,
    ],
    ['the gateway’s own `secrets reload`, the same way, median of 5', seconds(median(reloads))],
    ['ratio (at most 1.0)', ratio.toFixed(2)],
    ['a whole `rotate`, with the review of devices, median', seconds(median(whole))],
  ]
  const table = [
    '| measured | |',
    '|---|---|',
    ...rows.map(([what, value]) => `| ${what} | ${value} |`),
  ].join('\n')
  process.stdout.write(`${table}\n`)
  if (process.argv.includes('--write')) rewrite(table)
  process.exitCode =
    seen.failedProbes === 0 && seen.gap === 0 && seen.changes === ROUNDS && ratio <= 1 ? 0 : 1
} finally {
  await remove(folder)
}

/** From the new file on the disk to the proof, in milliseconds: the file's own time and the journal's. */
function switchOver(): number {
  const events = new Journal(resolve(folder, '.secure/journal.jsonl'), () => new Date()).read()
  const proof = events.findLast(({ event, step }) => event === 'step-done' && step === 'rotate.apply')
  return new Date(proof?.at ?? 0).getTime() - statSync(resolve(folder, 'secrets', tokenFile())).mtimeMs
}

function tokenFile(): string {
  const [name = ''] = readdirSync(resolve(folder, 'secrets')).filter(file =>
    file.startsWith('gateway_token.'),
  )
  return name
}

/** What the gateway offers itself: the file is changed under its name, and `secrets reload` is called with the old token. */
async function ownReload(): Promise<number> {
  const path = resolve(folder, 'secrets', tokenFile())
  const { uid, gid } = statSync(path)
  const old = readFileSync(path, 'utf8')
  const container = await containerOf(folder)
  const change = (from: string, to: string) => {
    writeAtomic(path, to, 0o400, { uid, gid })
    // As its documentation has it; the token of a deployment that is made for this may stand in the container's arguments.
    const command =
      'IFS= read -r T; exec node openclaw.mjs secrets reload --json --url ws://127.0.0.1:18789 --token "$T"'
    const ran = spawnSync('docker', ['exec', '-i', container, 'sh', '-c', command], { input: `${from}\n` })
    if (ran.status !== 0) throw new Error(`secrets reload: ${ran.stderr}`)
  }
  const next = generateToken().expose()
  const began = performance.now()
  change(old, next)
  // After many changes a wrong one is answered 429, which refuses it just as well.
  const [right, wrong] = [
    await status(port, '/api/channels/x', next),
    await status(port, '/api/channels/x', old),
  ]
  if (right !== 404 || (wrong !== 401 && wrong !== 429))
    throw new Error(`secrets reload did not bring the new token into force: ${right}, ${wrong}`)
  const took = performance.now() - began
  // As it was: the store knows nothing of this.
  change(next, old)
  return took
}

function rewrite(table: string): void {
  const path = resolve(import.meta.dirname, '../../docs/rotation.md')
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.replace(/\| measured \| \|\n[\s\S]*?(?=\n\n)/, table))
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`
}
