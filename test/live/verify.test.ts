/**
 * What verify says when it cannot look, that it changes nothing, and what it says of deployments it did not make. Each
 * test names the threat, or the way of deceiving oneself, that it stands for.
 */

import { chmodSync, chownSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { basename, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Ajv from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { THIS_RUN } from '../../src/deployment/alive.ts'
import { THROWAWAY } from '../../src/docker/engine.ts'
import { checks } from '../../steps/verify/index.ts'
import {
  authStatus,
  BIN,
  cli,
  containerOf,
  fingerprints,
  freePort,
  freshFolder,
  IMAGE,
  isThorough,
  patience,
  quick,
  type Ran,
  remove,
  sh,
  tokenOf,
} from './harness.ts'

interface Seen {
  checklist: { number: number; verdict: string }[]
  findings: { check: string; verdict: string; kind: string; evidence: string; suppressed?: unknown }[]
  summary: Record<string, number>
  drift?: { verdicts: unknown[]; facts: { name: string }[] }
}

const folder = freshFolder('verify')
let port = 0
let container = ''

beforeAll(async () => {
  port = await freePort()
  const ran = await cli([...(await quick(folder, port)), '--quiet'])
  expect(ran.code, ran.stderr).toBe(0)
  container = await containerOf(folder)
})

afterAll(() => remove(folder))

const seen = ({ stdout }: Ran): Seen => JSON.parse(stdout)
const verdicts = (ran: Ran, kind?: string) =>
  new Map(
    seen(ran)
      .findings.filter(finding => kind === undefined || finding.kind === kind)
      .map(finding => [finding.check, finding.verdict]),
  )
/** How long a command takes, in milliseconds, with what it gave. */
async function timed(run: Promise<Ran>): Promise<{ ran: Ran; took: number }> {
  const began = Date.now()
  return { ran: await run, took: Date.now() - began }
}

/** Nothing that needs the running container may have passed, and each says why it could not look. */
function expectBlind(ran: Ran, took: number, reason: RegExp): void {
  // What an agent without commands does not have is known without looking.
  const live = seen(ran).findings.filter(
    finding => finding.kind === 'live' && !finding.check.startsWith('sandbox.'),
  )
  expect(live.length).toBeGreaterThan(30)
  expect(live.filter(finding => finding.verdict === 'pass')).toEqual([])
  const unknown = live.filter(finding => finding.verdict === 'unknown')
  expect(unknown.length).toBe(live.length)
  expect(unknown.filter(finding => !reason.test(finding.evidence))).toEqual([])
  expect(ran.code).toBe(3)
  expect(took).toBeLessThan(patience(20_000))
}

describe('what killed runs have left', () => {
  it.runIf(isThorough)(
    'on every free address of the gateway’s network keeps no check from looking, and goes',
    {
      timeout: 90_000,
    },
    async () => {
      // Its number is ours, its start is not: the process it names has ended.
      const mark = `${THROWAWAY}=${THIS_RUN.replace(/:\d+:/, ':1:')}`
      const left = await Promise.all(
        Array.from({ length: 5 }, () =>
          sh('docker', [
            ...['run', '--detach', '--rm', '--pull', 'never', '--no-healthcheck', '--label', mark],
            ...['--network', `${basename(folder)}_inside`, '--entrypoint', 'sleep', IMAGE, '60'],
          ]),
        ),
      )
      expect(left.map(({ code }) => code)).toEqual([0, 0, 0, 0, 0])
      const full = await sh('docker', [
        ...['run', '--rm', '--pull', 'never', '--no-healthcheck', '--network', `${basename(folder)}_inside`],
        ...['--entrypoint', 'true', IMAGE],
      ])
      expect(full.stderr).toContain('no available IPv4 addresses')
      const ran = await cli(['verify', folder, '--json', '--only', 'egress.denied'])
      expect([...verdicts(ran)]).toEqual([['egress.denied', 'pass']])
      expect((await sh('docker', ['ps', '--all', '--quiet', '--filter', `label=${mark}`])).stdout).toBe('')
    },
  )
})

describe('looking changes nothing', () => {
  it('health stays, the limiter stays untouched, and no container, network, volume or file is left', async () => {
    const before = { files: fingerprints(folder), engine: await engine() }
    let asked = 0
    let failed = 0
    let watching = true
    const watch = (async () => {
      while (watching) {
        const ok = await fetch(`http://127.0.0.1:${port}/healthz`, {
          signal: AbortSignal.timeout(patience(2000)),
        }).then(
          response => response.ok,
          () => false,
        )
        asked += 1
        failed += ok ? 0 : 1
        await sleep(50)
      }
    })()
    const ran = await cli(['verify', folder, '--json'])
    watching = false
    await watch
    expect(ran.code, 'what is not set up yet').toBe(1)
    expect(seen(ran).summary).toMatchObject({ fail: 3, unknown: 0 })
    const open = seen(ran).checklist.filter(line => line.verdict !== 'pass')
    expect(open.map(line => line.number)).toEqual([8, 9, 10])
    expect({ failed, asked: asked > 100 }).toEqual({ failed: 0, asked: true })
    const after = { files: fingerprints(folder), engine: await engine() }
    for (const one of [before, after]) delete one.files['.secure/verify.json']
    expect(after).toEqual(before)
    // Had verify tried wrong tokens from outside, the tenth of these would be a 429.
    for (let tries = 0; tries < 9; tries++)
      expect(await authStatus(port, 'wrong'.repeat(13)), `try ${tries}`).toBe(401)
    expect(await authStatus(port, tokenOf(folder))).toBe(404)
  })

  it('its JSON is what schemas/verify.schema.json says', async () => {
    const validate = new Ajv.default({ strict: false }).compile(
      JSON.parse(readFileSync(resolve(BIN, '../../schemas/verify.schema.json'), 'utf8')),
    )
    const { stdout } = await cli(['verify', folder, '--static', '--json'])
    expect(validate(JSON.parse(stdout)), JSON.stringify(validate.errors)).toBe(true)
  })

  it.each(['text', 'sarif', 'junit', 'markdown', 'html'])(
    '%s names every check that was run',
    async format => {
      const { stdout } = await cli(['verify', folder, '--static', '--verbose', '--format', format])
      const names = checks.filter(check => check.kind === 'static').map(check => check.id)
      const plain = stdout.replaceAll('\\', '')
      expect(names.filter(id => !plain.includes(id))).toEqual([])
    },
  )
})

describe('what changed, and what is accepted', () => {
  it('the next run says what is different', async () => {
    const compose = resolve(folder, 'docker-compose.yml')
    const text = readFileSync(compose, 'utf8')
    await cli(['verify', folder, '--static', '--json'])
    writeFileSync(compose, `${text}# edited by hand\n`)
    const ran = await cli(['verify', folder, '--static', '--json'])
    writeFileSync(compose, text)
    expect(seen(ran).drift?.verdicts).toEqual([{ check: 'files.as-rendered', from: 'pass', to: 'fail' }])
    expect(seen(ran).drift?.facts.map(fact => fact.name)).toEqual(['docker-compose.yml'])
    await cli(['verify', folder, '--static', '--json'])
    const again = await cli(['verify', folder, '--static', '--json'])
    expect(seen(again).drift).toMatchObject({ verdicts: [], facts: [] })
  })

  it('an accepted failure is visible and no failure, until its day is over', async () => {
    const answers = resolve(folder, 'deployment.yaml')
    const text = readFileSync(answers, 'utf8')
    const accept = (until: string) =>
      `${text}suppress:\n${['monitor.configured', 'backup.restored', 'incident.drilled']
        .map(
          check => `  - check: ${check}\n    reason: "comes with the next version"\n    until: "${until}"\n`,
        )
        .join('')}`
    writeFileSync(answers, accept('2099-12-31'))
    const accepted = await cli(['verify', folder, '--static', '--json'])
    expect(accepted.code, accepted.stderr).toBe(0)
    expect(seen(accepted).findings.filter(finding => finding.suppressed !== undefined)).toHaveLength(3)
    const shown = await cli(['verify', folder, '--static'])
    expect(shown.stdout).toContain('comes with the next version')
    writeFileSync(answers, accept('2020-01-01'))
    const over = await cli(['verify', folder, '--static', '--json'])
    expect(over.code).toBe(1)
    expect(verdicts(over).get('suppressions.current')).toBe('fail')
    expect(verdicts(over).get('monitor.configured')).toBe('fail')
    writeFileSync(answers, accept('someday'))
    const wrong = await cli(['verify', folder, '--static'])
    expect(wrong.code).toBe(2)
    expect(wrong.stderr).toContain('until')
    writeFileSync(
      answers,
      `${text}suppress:\n  - { check: no.such, reason: "a long reason", until: "2099-01-01" }\n`,
    )
    const unknown = await cli(['verify', folder, '--static'])
    expect(unknown.code).toBe(2)
    expect(unknown.stderr).toContain('no.such')
    writeFileSync(answers, text)
  })
})

describe('what could not be looked at is unknown, never a pass, and said within 20 s', () => {
  it('the engine stopped', async () => {
    const { ran, took } = await timed(
      cli(['verify', folder, '--json'], { env: { ...process.env, DOCKER_HOST: 'unix:///nonexistent.sock' } }),
    )
    expectBlind(ran, took, /engine does not answer/)
  })

  it.runIf(isThorough)('an engine that takes the connection and says nothing', async () => {
    const server = createServer(() => {})
    const socket = resolve(folder, '..', 'silent.sock')
    await new Promise<void>(done => server.listen(socket, done))
    const { ran, took } = await timed(
      cli(['verify', folder, '--json'], { env: { ...process.env, DOCKER_HOST: `unix://${socket}` } }),
    )
    server.close()
    expectBlind(ran, took, /./)
  })

  it('a user who may not use the engine', async () => {
    const uid = 12346
    const home = resolve(freshFolder('denied'), '..')
    const copy = resolve(home, basename(folder))
    await sh('cp', ['-a', folder, copy])
    await sh('chown', ['-R', `${uid}:${uid}`, home])
    const { ran, took } = await timed(
      sh(
        'setpriv',
        [
          '--reuid',
          String(uid),
          '--regid',
          String(uid),
          '--clear-groups',
          process.execPath,
          BIN,
          'verify',
          copy,
          '--json',
        ],
        {
          env: { PATH: process.env.PATH, HOME: home },
        },
      ),
    )
    await sh('rm', ['-rf', home])
    expectBlind(ran, took, /permission denied/i)
  })

  it('the gateway hung', async () => {
    const { stdout } = await sh('docker', ['top', container, '-eo', 'pid,comm'])
    const pids = [...stdout.matchAll(/^\s*(\d+)\s+(?!docker-init)\S+/gm)].map(match => match[1] ?? '')
    await sh('kill', ['-STOP', ...pids])
    const { ran, took } = await timed(cli(['verify', folder, '--json']))
    await sh('kill', ['-CONT', ...pids])
    const blind = ['token.accepted', 'token.required', 'token.guessed', 'gateway.api', 'gateway.tools']
    expect(blind.map(id => verdicts(ran).get(id))).toEqual(blind.map(() => 'unknown'))
    expect(ran.code).toBe(3)
    expect(took).toBeLessThan(patience(20_000))
  })

  it.runIf(isThorough)('the gateway replaced while it was looked at', async () => {
    const looking = timed(cli(['verify', folder, '--json']))
    await sleep(4000)
    await sh('docker', ['restart', '--time', '1', container])
    const { ran } = await looking
    expect([...verdicts(ran, 'live').values()].filter(verdict => verdict === 'pass')).toEqual([])
    expect(ran.code).toBe(3)
  })

  it('the gateway stopped', async () => {
    await sh('docker', ['stop', '--time', '5', container])
    const { ran, took } = await timed(cli(['verify', folder, '--json']))
    expectBlind(ran, took, /container is exited|no answer|nothing answers/)
  })

  it('no container at all', async () => {
    await sh('docker', ['rm', '--force', container])
    const { ran, took } = await timed(cli(['verify', folder, '--json']))
    expectBlind(ran, took, /no gateway container|no answer|nothing answers/)
  })
})

describe('deployments that somebody else made', () => {
  const fixtures = resolve(import.meta.dirname, '../fixtures/foreign')
  const homes: string[] = []
  const copyOf = (name: string) => {
    const copy = freshFolder(name)
    homes.push(copy)
    cpSync(resolve(fixtures, name), copy, { recursive: true })
    mkdirSync(resolve(copy, 'data'))
    chownSync(resolve(copy, 'data'), 1000, 1000)
    return copy
  }
  afterAll(async () => {
    for (const home of homes) {
      await sh('docker', ['rm', '--force', '--volumes', basename(home)])
      await remove(home)
    }
  })
  const failed = (ran: Ran) =>
    seen(ran)
      .findings.filter(finding => finding.verdict === 'fail')
      .map(finding => finding.check)

  it.runIf(isThorough)(
    'OpenClaw’s own Compose file: the token in the environment, the port on all addresses, no limits',
    async () => {
      const copy = copyOf('official')
      const token = 'replace-with-long-random-token'
      const own = {
        OPENCLAW_IMAGE: IMAGE,
        OPENCLAW_GATEWAY_TOKEN: token,
        OPENCLAW_GATEWAY_PORT: await freePort(),
      }
      writeFileSync(
        resolve(copy, '.env'),
        Object.entries(own)
          .map(([key, value]) => `${key}=${value}\n`)
          .join(''),
      )
      const up = await sh('docker', ['compose', '--project-name', basename(copy), 'up', '--detach'], {
        cwd: copy,
      })
      expect(up.code, up.stderr).toBe(0)
      await ready(own.OPENCLAW_GATEWAY_PORT)
      const ran = await cli(['verify', '--dir', copy, '--json'])
      await sh('docker', ['compose', '--project-name', basename(copy), 'down', '--timeout', '1'], {
        cwd: copy,
      })
      expect(failed(ran), ran.stderr).toEqual(
        expect.arrayContaining([
          'token.strength',
          'compose.ports',
          'ports.published',
          'ports.unreachable',
          'network.own',
          'compose.capabilities',
          'compose.user',
          'compose.seccomp',
          'compose.read-only',
          'compose.limits',
          'compose.logs',
          'compose.environment',
          'secrets.environment',
          'secrets.hidden',
          'image.pinned',
          'privileges.none',
          'seccomp.enforced',
          'seccomp.calls',
          'rootfs.readonly',
          'tmp.noexec',
          'limits.enforced',
          'limits.fork',
          'limits.hog',
          'limits.logs',
          'debugger.closed',
          'agents.contained',
          'gateway.terminal',
          'gateway.tools',
          'audit.openclaw',
          'secrets.ignored',
        ]),
      )
      expect(ran.stdout + ran.stderr).not.toContain(token)
    },
  )

  it('the seed’s snippets as they stand: keys OpenClaw refuses, a profile that is no JSON, nothing that starts', async () => {
    const ran = await cli(['verify', '--dir', copyOf('seed'), '--json'])
    expect(failed(ran), ran.stderr).toEqual(
      expect.arrayContaining([
        'policy.keys',
        'compose.seccomp',
        'compose.environment',
        'compose.read-only',
        'compose.limits',
        'compose.user',
        'image.pinned',
        'agents.contained',
        'agents.elevated',
        'files.workspace',
        'token.limiter',
        'audit.level',
        'secrets.env-closed',
      ]),
    )
    expect(ran.code).toBe(3)
    expect([...verdicts(ran, 'live').values()].filter(verdict => verdict === 'pass')).toEqual([])
  })

  it.runIf(isThorough)(
    'a docker run line with the engine’s socket, privileged, and a token one can remember',
    async () => {
      const copy = copyOf('docker-run')
      const name = basename(copy)
      chmodSync(resolve(copy, 'run.sh'), 0o755)
      const env = { ...process.env, NAME: name, PORT: String(await freePort()), IMAGE }
      const up = await sh('sh', ['run.sh'], { cwd: copy, env })
      expect(up.code, up.stderr).toBe(0)
      await ready(Number(env.PORT))
      const byFolder = await cli(['verify', '--dir', copy, '--json'])
      const elsewhere = freshFolder('nothing')
      mkdirSync(elsewhere)
      const byName = await cli(['verify', '--dir', elsewhere, '--container', name, '--only', 'host.closed'])
      const nothing = await cli(['verify', '--dir', elsewhere])
      await sh('docker', ['rm', '--force', '--volumes', name])
      expect(failed(byFolder), byFolder.stderr).toEqual(
        expect.arrayContaining([
          'token.strength',
          'ports.published',
          'ports.unreachable',
          'host.closed',
          'host.protections',
          'image.running',
          'privileges.none',
          'seccomp.enforced',
          'seccomp.calls',
          'files.scoped',
          'secrets.environment',
          'secrets.hidden',
          'rootfs.readonly',
          'limits.enforced',
          'limits.fork',
          'limits.hog',
          'network.own',
          'agents.contained',
        ]),
      )
      expect(byName.code, byName.stderr).toBe(1)
      expect(byName.stdout).toContain('an engine socket')
      expect(nothing.code, nothing.stdout).toBe(2)
      expect(nothing.stderr).toContain('--container')
    },
  )
})

/** What is on the engine that this suite could have left. */
async function engine(): Promise<string> {
  const project = basename(folder)
  const outputs = await Promise.all([
    sh('docker', [
      'ps',
      '--all',
      '--filter',
      `label=com.docker.compose.project=${project}`,
      '--format',
      '{{.Names}} {{.ID}}',
    ]),
    sh('docker', ['ps', '--all', '--filter', `network=${project}_inside`, '--format', '{{.Names}}']),
    sh('docker', ['network', 'ls', '--filter', `name=${project}`, '--format', '{{.Name}}']),
    sh('docker', ['volume', 'ls', '--filter', 'name=ocs', '--format', '{{.Name}}']),
  ])
  return outputs.map(({ stdout }) => stdout).join('---\n')
}

async function ready(on: number): Promise<void> {
  for (let tries = 0; tries < 300; tries++) {
    // Docker takes the connection before the gateway does; without a limit this one would wait for ever.
    const ok = await fetch(`http://127.0.0.1:${on}/readyz`, { signal: AbortSignal.timeout(2000) }).then(
      response => response.ok,
      () => false,
    )
    if (ok) return
    await sleep(500)
  }
  throw new Error('the foreign gateway never became ready')
}
