/**
 * `npm test`: the unit and contract suites always, the live suites when a Docker engine and the gateway image are
 * there. What is not run is named, with the reason; with LIVE=required it is a failure.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { relative, resolve } from 'node:path'
import { IMAGE } from './live/harness.ts'

const root = resolve(import.meta.dirname, '../..')
const required = process.env.LIVE === 'required'
const suites = readdirSync(resolve(root, 'test/live')).filter(name => name.endsWith('.test.ts'))
const reason = whyNotLive()

const unit = run('unit*', 'slow*')
const live =
  reason === undefined
    ? run('live')
    : { passed: 0, failed: required ? suites.length : 0, failures: [], ok: !required }
if (reason !== undefined)
  for (const suite of suites)
    process.stdout.write(`${required ? 'FAILED' : 'not run'}: test/live/${suite}: ${reason}\n`)

process.stdout.write(
  'not run: sixty kills of a rotation, setup killed in every step, the engine killed in the middle, an engine that numbers users differently (npm run crash); the attacks on what others deploy (npm run attack); thirty kills of each runbook, compilers in the sandbox, a sandbox that is weaker than it was rendered (npm run crash); ten starts in a row under the seccomp profile (SECCOMP_STARTS=10): they take too long\n',
)
// Last, because the end is what is left of a long log.
for (const failure of [...unit.failures, ...live.failures]) process.stdout.write(`\nFAILED: ${failure}\n`)
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

/** What one run of vitest came to. `failures` has what failed, by name, with why. */
interface Outcome {
  passed: number
  failed: number
  failures: string[]
  ok: boolean
}

/** What is read here of the report that vitest writes (its JSON reporter). */
interface Report {
  numPassedTests: number
  numFailedTests: number
  testResults: {
    name: string
    status: string
    /** Why the file as a whole failed: it could not be loaded, say. */
    message: string
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[]
  }[]
}

/** Runs projects of vitest and counts their tests. */
function run(...projects: string[]): Outcome {
  const folder = mkdtempSync(resolve(tmpdir(), 'ocs-test-'))
  const file = resolve(folder, 'report.json')
  const { status } = spawnSync(
    process.execPath,
    [
      'node_modules/vitest/vitest.mjs',
      'run',
      ...projects.flatMap(project => ['--project', project]),
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${file}`,
    ],
    { cwd: root, stdio: 'inherit' },
  )
  try {
    const report: Report = JSON.parse(readFileSync(file, 'utf8'))
    return {
      passed: report.numPassedTests,
      failed: report.numFailedTests,
      failures: failuresOf(report),
      ok: status === 0 && report.numPassedTests > 0,
    }
  } catch {
    return { passed: 0, failed: 1, failures: [`vitest wrote no report (${projects.join(', ')})`], ok: false }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function failuresOf({ testResults }: Report): string[] {
  return testResults.flatMap(({ name, status, message, assertionResults }) => {
    const suite = relative(root, name)
    const tests = assertionResults.filter(test => test.status === 'failed')
    if (status === 'failed' && tests.length === 0) return [`${suite}: ${message}`]
    return tests.map(test => `${suite}: ${test.fullName}\n${test.failureMessages.join('\n')}`)
  })
}
