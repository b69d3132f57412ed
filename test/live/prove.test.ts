/**
 * A check that cannot fail proves nothing. Every one is run where it has to be red: in a copy of a deployment that was
 * broken for it, on the real engine, with real gateways.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checks } from '../../steps/verify/index.ts'
import { matrixOf } from '../matrix.ts'
import { cli, fingerprints, freshFolder, quick, type Ran, remove, sh, tokenOf } from './harness.ts'

const folder = freshFolder('prove')
let proven: Ran = { code: -1, stdout: '', stderr: '' }
let before = ''
let files: Record<string, string> = {}

beforeAll(async () => {
  // With a sandbox, so that there is nothing a check could find missing.
  const ran = await cli([...(await quick(folder)), '--agent', 'coding', '--quiet'])
  expect(ran.code, ran.stderr).toBe(0)
  before = await leftBehind()
  files = fingerprints(folder)
  proven = await cli(['verify', folder, '--prove', '--json'], { timeout: 400_000 })
}, 500_000)

afterAll(() => remove(folder))

describe('verify --prove', () => {
  it('sees every check red in its negative control', () => {
    const { controls } = JSON.parse(proven.stdout)
    const green = controls.filter((control: { red: boolean }) => !control.red)
    expect(green, proven.stderr).toEqual([])
    expect(controls.map((control: { check: string }) => control.check)).toEqual(checks.map(check => check.id))
    expect(controls.length).toBeGreaterThanOrEqual(60)
  })

  it('sees every check green on the deployment itself, but for what later versions set up', () => {
    const { findings, summary } = JSON.parse(proven.stdout)
    const others = findings.filter((finding: { verdict: string }) => finding.verdict !== 'pass')
    expect(others.map((finding: { check: string }) => finding.check)).toEqual([
      // Skipped: nobody has asked for a schedule.
      'rotate.scheduled',
      // This kernel has none.
      'apparmor.enforced',
      'monitor.configured',
      'backup.restored',
      'incident.drilled',
    ])
    expect(summary.unknown).toBe(0)
    expect(proven.code).toBe(1)
  })

  it('gives the matrix that docs/checks.md shows', () => {
    const written = matrixOf(JSON.parse(proven.stdout))
    const path = resolve('docs/checks.md')
    if (process.env.UPDATE_DOCS === '1') writeFileSync(path, written)
    expect(existsSync(path) ? readFileSync(path, 'utf8') : '', 'npm run checks').toBe(written)
  })

  it('never shows the token of the deployment, nor that of a copy (credential leakage)', () => {
    expect(proven.stdout + proven.stderr).not.toContain(tokenOf(folder))
    expect(proven.stdout + proven.stderr).not.toMatch(/\b[0-9a-f]{64}\b(?<!sha256:[0-9a-f]{64})/)
  })

  it('leaves nothing: no container, network, image, volume or file', async () => {
    expect(await leftBehind()).toBe(before)
    expect(readdirSync(resolve(folder, '.secure')).filter(name => name.startsWith('.ocs-'))).toEqual([])
    const now = fingerprints(folder)
    delete now['.secure/verify.json']
    delete files['.secure/verify.json']
    expect(now).toEqual(files)
  })

  it('is refused for a deployment somebody else made, and together with --static', async () => {
    const foreign = resolve(import.meta.dirname, '../fixtures/foreign/seed')
    const { code, stderr } = await cli(['verify', foreign, '--prove'])
    expect(code, stderr).toBe(2)
    const both = await cli(['verify', folder, '--prove', '--static'])
    expect(both.code, both.stderr).toBe(2)
    expect(both.stderr).toContain('--prove')
  })
})

/** Everything of the engine that could be this deployment's, or a copy's. Other suites run at the same time. */
async function leftBehind(): Promise<string> {
  const own = (line: string) => line.includes(basename(folder)) || line.includes('prove')
  const lists = [
    ['ps', '--all', '--format', '{{.Names}} {{.Image}}'],
    ['network', 'ls', '--format', '{{.Name}}'],
    ['image', 'ls', '--format', '{{.Repository}}:{{.Tag}}'],
    ['volume', 'ls', '--format', '{{.Name}}'],
  ]
  const outputs = await Promise.all(lists.map(args => sh('docker', args)))
  return outputs.map(({ stdout }) => stdout.split('\n').filter(own).sort().join('\n')).join('\n---\n')
}
