/**
 * `verify --only 'attack.*'`: what the six checks say of a container that somebody started without a thought, and of a deployment of
 * ours, as it is and weakened.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cli, freshFolder, IMAGE, type Ran, remove, sh } from './harness.ts'

interface Seen {
  check: string
  verdict: string
  evidence: string
}

/** What each of these checks has found, by its name. */
function findings(ran: Ran): Map<string, Seen> {
  expect(ran.stdout, ran.stderr).not.toBe('')
  const { findings: all } = JSON.parse(ran.stdout) as { findings: Seen[] }
  return new Map(all.map(finding => [finding.check, finding]))
}

describe('a container with a policy it can write, the engine’s socket and a token as an argument', () => {
  const home = freshFolder('attack-verify')
  let seen: Map<string, Seen> = new Map()

  beforeAll(async () => {
    mkdirSync(resolve(home, 'config'), { recursive: true })
    mkdirSync(resolve(home, 'empty'))
    writeFileSync(resolve(home, 'config/openclaw.json'), '{}')
    const { code, stderr } = await sh('docker', [
      ...['run', '--detach', '--name', basename(home), '--pull', 'never', '--user', 'root'],
      ...[
        '--volume',
        `${home}/config:/etc/openclaw`,
        '--volume',
        '/var/run/docker.sock:/var/run/docker.sock:ro',
      ],
      ...['--entrypoint', 'sh', IMAGE, '-c', 'sleep 600; : --token not-a-real-secret'],
    ])
    expect(code, stderr).toBe(0)
    const only = ['filesystem', 'privileges', 'credentials'].flatMap(one => ['--only', `attack.${one}`])
    const ran = await cli([
      ...['verify', '--dir', resolve(home, 'empty'), '--container', basename(home), '--json', ...only],
    ])
    expect(ran.code, ran.stderr).toBe(1)
    seen = findings(ran)
  }, 120_000)

  afterAll(async () => {
    await sh('docker', ['rm', '--force', '--volumes', basename(home)])
    await remove(home)
  })

  it.each([
    ['attack.filesystem.policy ', 'rewrites its own policy (filesystem access)'],
    ['attack.filesystem.policy-swap ', 'puts another policy in its place (filesystem access)'],
    ['attack.privileges.engine ', 'has the engine start what it likes (privilege escalation)'],
    ['attack.credentials.inspect ', 'has the engine show every environment (credential leakage)'],
    ['attack.credentials.arguments ', 'shows a token among its arguments (credential leakage)'],
  ])('%s%s', attack => {
    const finding = seen.get(attack.split('.').slice(0, 2).join('.'))
    expect(finding?.verdict).toBe('fail')
    expect(/got through: (.*)/.exec(finding?.evidence ?? '')?.[1]).toContain(attack)
  })

  it('shows nobody the secret itself', () => {
    expect([...seen.values()].map(one => one.evidence).join()).not.toContain('not-a-real-secret')
  })
})
