/**
 * `npm run bench`: what the tool itself costs, as ratios to `node -e 0` taken in the same run, so that the machine
 * cancels out. The last figure needs the live environment (test/live/up) and is left out, with the reason, without it.
 */
import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { Docker } from '../src/docker/engine.ts'
import { processRunner } from '../src/docker/process.ts'
import { Redactor } from '../src/secret.ts'
import { judgeInSibling } from '../steps/verify/sibling.ts'
import { BIN, cli, containerOf, freshFolder, IMAGE, remove, sh, usual } from './live/harness.ts'

const ROUNDS = 15
const render = freshFolder('bench')
const clean = () => rmSync(render, { recursive: true, force: true })

const node = median(() => ['-e', '0'])
const help = median(() => [BIN, '--help'])
const rendered = median(() => [BIN, render, '--yes', '--no-launch', '--quiet'], clean)
clean()
await cli([render, '--yes', '--no-launch', '--quiet'])
const looked = median(() => [BIN, 'verify', render, '--static', '--json'], undefined, [0, 1])
rmSync(resolve(render, '..'), { recursive: true, force: true })

let missed = false
line('node -e 0', `${node.toFixed(0)} ms (median of ${ROUNDS})`)
ratio('--help', help / node, 1.5)
ratio('a full --yes --no-launch render', rendered / node, 6)
ratio('verify --static', looked / node, 4)
await ownTime()
process.exitCode = missed ? 1 : 0

/** Setup's own time: everything but the image, the gateway's boot, and OpenClaw's own audits that verify waits for. */
async function ownTime(): Promise<void> {
  if ((await sh('docker', ['image', 'inspect', IMAGE])).code !== 0)
    return line("setup's own time", 'not measured: run test/live/up first')
  const folder = freshFolder('bench')
  try {
    const { stdout, stderr, code } = await cli([...(await usual(folder)), '--json', '--quiet'])
    if (code !== 0) throw new Error(stderr)
    const took: Record<string, number> = JSON.parse(stdout).took
    const {
      'gateway.launch': boot = 0,
      verify = 0,
      'image.obtain': image = 0,
      'border.obtain': border = 0,
      // A start of its own, once a machine.
      'seccomp.canary': canary = 0,
      ...own
    } = took
    const seconds = Object.values(own).reduce((sum, each) => sum + each, 0) / 1000
    line('the gateway’s boot', `${(boot / 1000).toFixed(1)} s`)
    line('verify, with OpenClaw’s audits', `${(verify / 1000).toFixed(1)} s`)
    line('the images', image + border === 0 ? 'were there' : `${((image + border) / 1000).toFixed(1)} s`)
    line('the canary', canary === 0 ? 'has sung here before' : `${(canary / 1000).toFixed(1)} s`)
    missed ||= seconds > 5
    line("setup's own time", `${seconds.toFixed(2)} s (at most 5)${seconds > 5 ? '  MISSED' : ''}`)
    await verifyTime(folder)
  } finally {
    await remove(folder)
  }
}

/** A whole verify, against the slowest single thing in it: OpenClaw's own audit, in a sibling as verify runs it, alone. */
async function verifyTime(folder: string): Promise<void> {
  const docker = new Docker(processRunner(new Redactor(), process.env))
  const container = await docker.container(await containerOf(folder))
  if (container === undefined) throw new Error('the gateway is gone')
  const audits: number[] = []
  const verifies: number[] = []
  for (let round = 0; round < 3; round++) {
    let began = performance.now()
    const { code, stderr } = await judgeInSibling(
      docker,
      container,
      ['node', 'openclaw.mjs', 'security', 'audit', '--json'],
      90_000,
    )
    audits.push(performance.now() - began)
    if (code !== 0) throw new Error(stderr)
    began = performance.now()
    await cli(['verify', folder, '--json'])
    verifies.push(performance.now() - began)
  }
  const middle = (times: number[]) => (times.sort((a, b) => a - b)[1] ?? 0) / 1000
  line('OpenClaw’s security audit, alone', `${middle(audits).toFixed(1)} s (median of 3)`)
  line('a whole verify', `${middle(verifies).toFixed(1)} s (median of 3)`)
  const value = middle(verifies) / middle(audits)
  missed ||= value > 1.3
  line('verify / security audit', `${value.toFixed(2)} (at most 1.3)${value > 1.3 ? '  MISSED' : ''}`)
}

function median(args: () => string[], before = () => {}, codes: readonly number[] = [0]): number {
  const times: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    before()
    const began = performance.now()
    const { status, stderr } = spawnSync(process.execPath, args(), { stdio: ['ignore', 'ignore', 'pipe'] })
    times.push(performance.now() - began)
    if (!codes.includes(status ?? -1)) throw new Error(`${args().join(' ')} ended with ${status}: ${stderr}`)
  }
  return times.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? 0
}

function ratio(what: string, value: number, limit: number): void {
  missed ||= value > limit
  line(what, `${value.toFixed(2)} × node -e 0 (at most ${limit})${value > limit ? '  MISSED' : ''}`)
}

function line(what: string, text: string): void {
  process.stdout.write(`${what.padEnd(34)} ${text}\n`)
}
