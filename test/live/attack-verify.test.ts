/**
 * `verify --only 'attack.*'`: what the six checks say of a container that somebody started without a thought, and of a deployment of
 * ours, as it is and weakened.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { attackChecks } from '../../steps/attack/checks.ts'
import { cli, freshFolder, IMAGE, isThorough, quick, type Ran, remove, sh } from './harness.ts'

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
      ...['--volume', `${home}/config:/etc/openclaw`],
      ...['--volume', '/var/run/docker.sock:/var/run/docker.sock:ro'],
      ...['--entrypoint', 'sh', IMAGE, '-c', 'sleep 600; : --token not-a-real-secret'],
    ])
    expect(code, stderr).toBe(0)
    const ran = await attacked('filesystem', 'privileges', 'credentials')
    expect(ran.code, ran.stderr).toBe(1)
    seen = findings(ran)
  }, 120_000)

  function attacked(...threats: string[]): Promise<Ran> {
    const only = threats.flatMap(one => ['--only', `attack.${one}`])
    const where = ['--dir', resolve(home, 'empty'), '--container', basename(home)]
    return cli(['verify', ...where, '--json', ...only])
  }

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

  it.runIf(isThorough)(
    'is not held to have no way out because this machine lets nobody in (network exfiltration)',
    async () => {
      const format = '{{.NetworkSettings.Networks.bridge.IPAddress}}'
      const { stdout } = await sh('docker', ['inspect', '--format', format, basename(home)])
      const rule = ['INPUT', '--source', stdout.trim(), '--jump', 'DROP']
      const open = findings(await attacked('network', 'commands'))
      await sh('iptables', ['--wait', '5', '--insert', ...rule])
      const shut = await attacked('network', 'commands')
      await sh('iptables', ['--wait', '5', '--delete', ...rule])
      // As root, other commands get through.
      expect(['network', 'commands'].map(one => open.get(`attack.${one}`)?.verdict)).toEqual(['fail', 'fail'])
      expect(findings(shut).get('attack.network')?.verdict).toBe('unknown')
      for (const { evidence } of findings(shut).values())
        expect(evidence).toContain('bridge has a way out, and it may have been this machine’s own firewall')
      expect(shut.code).toBe(3)
    },
    120_000,
  )
})

describe.runIf(isThorough)('a deployment of ours', () => {
  const folder = freshFolder('attacked')
  let proven: Ran

  beforeAll(async () => {
    const ran = await cli([...(await quick(folder)), '--cpus', '1', '--quiet'])
    expect(ran.code, ran.stderr).toBe(0)
    proven = await cli(['verify', folder, '--only', 'attack.*', '--prove', '--json'], { timeout: 400_000 })
  }, 500_000)

  afterAll(() => remove(folder))

  it.each(attackChecks.map(check => [check.threat, check.id]))('stops every attack: %s', (_, id) => {
    const finding = findings(proven).get(id)
    expect(finding?.verdict, finding?.evidence).toBe('pass')
  })

  it.each(attackChecks.map(check => [check.threat, check.id]))('would not, if it were weak: %s', (_, id) => {
    const controls: (Seen & { red: boolean })[] = JSON.parse(proven.stdout).controls
    const control = controls.find(one => one.check === id)
    expect(control?.red, control?.evidence).toBe(true)
  })

  it('goes on running under all of them', async () => {
    expect(proven.code, proven.stderr).toBe(0)
    expect((await cli(['status', '--dir', folder])).code).toBe(0)
  })

  it('whose policy and secrets were mounted for writing has not stopped an attack on them (filesystem access)', async () => {
    const path = resolve(folder, 'docker-compose.yml')
    const before = readFileSync(path, 'utf8')
    const writable = before.replaceAll(
      /("target":"(?:\/etc\/openclaw|\/run\/secrets)","read_only":)true/g,
      '$1false',
    )
    expect(writable).not.toBe(before)
    writeFileSync(path, writable)
    const up = await sh('docker', ['compose', 'up', '--detach', 'openclaw-gateway'], { cwd: folder })
    expect(up.code, up.stderr).toBe(0)
    const ran = await cli(['verify', folder, '--only', 'attack.filesystem', '--json'])
    const finding = findings(ran).get('attack.filesystem')
    expect(finding?.verdict).toBe('fail')
    for (const attack of ['policy', 'policy-swap', 'secrets-folder'])
      expect(finding?.evidence).toContain(`attack.filesystem.${attack} (`)
  }, 120_000)
})
