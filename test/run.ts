/**
 * `npm test`: the unit and contract suites always, the live suites when a Docker engine and the gateway image are
 * there. What is not run is named, with the reason; with LIVE=required it is a failure.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { IMAGE } from './live/harness.ts'

const root = resolve(import.meta.dirname, '../..')
const required = process.env.LIVE === 'required'
const suites = readdirSync(resolve(root, 'test/live')).filter(name => name.endsWith('.test.ts'))
const reason = whyNotLive()

const unit = run('unit*', 'slow*')
const live =
  reason === undefined ? run('live') : { passed: 0, failed: required ? suites.length : 0, ok: !required }
if (reason !== undefined)
  for (const suite of suites)
    process.stdout.write(`${required ? 'FAILED' : 'not run'}: test/live/${suite}: ${reason}\n`)

process.stdout.write(
  'not run: sixty kills of a rotation, setup killed in every step, the engine killed in the middle, an engine that numbers users differently (npm run crash); the attacks on what others deploy (npm run attack); thirty kills of each runbook, compilers in the sandbox, a sandbox that is weaker than it was rendered (npm run crash); ten starts in a row under the seccomp profile (SECCOMP_STARTS=10): they take too long\n',
)
process.stdout.write(`\n${unit.passed + live.passed} passed, ${unit.failed + live.failed} failed\n`)
process.exitCode = unit.ok && live.ok ? 0 : 1

/** Undefined when the live suites can run. */
function whyNotLive(): string | undefined {
  const hint = 'test/live/up makes it ready (root, Debian 12)'
  try {
    execFileSync('docker', ['version', '--format', '{{.Server.Version}}'], { stdio: 'pipe', timeout: 20_000 })
  } catch {
    return `no Docker engine answers; ${hint}`
  }
  try {
    execFileSync('docker', ['image', 'inspect', IMAGE], { stdio: 'pipe', timeout: 20_000 })
    return undefined
  } catch {
    return `the engine has no image ${IMAGE}; ${hint}`
  }
}

/** Runs projects of vitest and counts their tests. */
function run(...projects: string[]): { passed: number; failed: number; ok: boolean } {
  const folder = mkdtempSync(resolve(tmpdir(), 'ocs-test-'))
  const report = resolve(folder, 'report.json')
  const { status } = spawnSync(
    process.execPath,
    [
      'node_modules/vitest/vitest.mjs',
      'run',
      ...projects.flatMap(project => ['--project', project]),
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
    ],
    { cwd: root, stdio: 'inherit' },
  )
  try {
    const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, 'utf8'))
    return {
      passed: Number(numPassedTests),
      failed: Number(numFailedTests),
      ok: status === 0 && Number(numPassedTests) > 0,
    }
  } catch {
    return { passed: 0, failed: 1, ok: false }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
