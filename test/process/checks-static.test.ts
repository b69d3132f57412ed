import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answers } from '../../src/deployment/answers.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import { assumeOwnership } from '../../src/deployment/owner.ts'
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { recordDrill } from '../../src/evidence/drills.ts'
import { deedsOf, readRunbook } from '../../src/procedure/runbook.ts'
import type { Finding } from '../../src/procedure/step.ts'
import { Redactor } from '../../src/secret.ts'
import { readAnswers } from '../../src/wizard/answers-file.ts'
import { fillIn } from '../../src/wizard/gather.ts'
import { EFFECTS } from '../../steps/incident/index.ts'
import { type TwinSources, WeakCopy } from '../../steps/prove/twin.ts'
import type { VerifyCheck } from '../../steps/verify/check.ts'
import { ownFiles } from '../../steps/verify/files.ts'
import { checks } from '../../steps/verify/index.ts'
import { judge } from '../../steps/verify/judge.ts'
import type { FileWorld, World } from '../../steps/verify/world.ts'
import { ANSWERS, some } from '../unit/support.ts'

/**
 * Every static check on a real deployment on the disk, made by the same steps as setup makes one, and in a copy that
 * was broken for it. No engine is asked: nothing is launched.
 */
const own = checks.filter(check => check.kind === 'static')
const redactor = new Redactor()
const environment = { PATH: process.env.PATH ?? '', HOME: '/nonexistent', LANG: 'C' }
const run = processRunner(redactor, environment)
const person = { uid: process.getuid?.() ?? 1000, gid: process.getgid?.() ?? 1000 }
const answers: Answers = {
  ...ANSWERS,
  contact: 'Zoë, +49 30 1234',
  providers: [{ id: 'openai' }],
  model: 'openai/gpt-x',
}
const sources: TwinSources = {
  answers,
  image: `ghcr.io/openclaw/openclaw@sha256:${'a'.repeat(64)}`,
  border: `sha256:${'d'.repeat(64)}`,
  sandbox: undefined,
  ownership: assumeOwnership(person),
  docker: new Docker(async () => {
    throw new Error('nobody asks an engine here')
  }),
  run,
  redactor,
  person,
  now: () => new Date('2026-11-23T01:40:00Z'),
  signal: new AbortController().signal,
}

const place = mkdtempSync(join(tmpdir(), 'ocs-unit-static-'))
afterAll(() => rmSync(place, { recursive: true, force: true }))

/** The files as they are now, read as `verify --prove` reads them. Whoever asks for more than files is told off. */
function worldOf(copy: WeakCopy): World {
  const { layout, store, journal } = copy
  const {
    answers: read,
    suppressions,
    problems,
  } = readAnswers(readFileSync(layout.answers, 'utf8'), 'x.yaml')
  if (problems.length > 0) throw new Error(JSON.stringify(problems))
  const filled = fillIn(
    read,
    new Map(),
    { directory: layout.root, timezone: 'UTC', exposedToNeighbours: false },
    true,
  )
  const files: FileWorld = ownFiles({
    layout: layoutOf(copy.root),
    answers: { ...ANSWERS, ...filled.answers },
    suppressions: suppressions ?? [],
    store,
    journal,
    run,
    now: sources.now(),
  })
  return new Proxy(files, {
    get(target, name) {
      if (Object.hasOwn(target, name) || name === 'then') return Reflect.get(target, name)
      return () => Promise.reject(new Error(`a static check asked for ${String(name)}`))
    },
  }) as World
}

async function look(check: VerifyCheck, copy: WeakCopy): Promise<Finding> {
  const nobodyStops = new AbortController().signal
  const [finding] = await judge([check], worldOf(copy), text => redactor.clean(text), nobodyStops)
  return some(finding)
}

let whole: WeakCopy
let pristine: Map<string, Finding>
let broken: Map<string, Finding | Error>
const ready: string[] = []

/** Copies of the copy, each beside nothing else, as `cp` makes them; all at once, because starting a program takes longer. */
async function makeReady(count: number): Promise<void> {
  for (let index = 1; index <= count; index++) {
    const own = join(place, String(index))
    mkdirSync(own)
    ready.push(join(own, 'copy'))
  }
  const script = 'for i in "$@"; do cp -a "$0" "$i" || exit 1; done'
  const { code, stderr } = await run('sh', ['-c', script, whole.root, ...ready], { deadline: 20_000 })
  if (code !== 0) throw new Error(stderr)
}

function another(): WeakCopy {
  return WeakCopy.at(whole, some(ready.pop(), 'copy left'))
}

beforeAll(async () => {
  const root = join(place, 'first', 'whole')
  mkdirSync(join(place, 'first'))
  whole = await WeakCopy.make(sources, root, 'unit-static', 18_789)
  await makeReady(own.length + 15)
  const findings = await judge(own, worldOf(whole), text => redactor.clean(text), sources.signal)
  pristine = new Map(findings.map(finding => [finding.check, finding]))
  const results = own.map(async (check): Promise<[string, Finding | Error]> => {
    const copy = another()
    try {
      await check.sabotage.weaken?.(copy)
      return [check.id, await look(check, copy)]
    } catch (error) {
      return [check.id, error instanceof Error ? error : new Error(String(error))]
    }
  })
  broken = new Map(await Promise.all(results))
}, 30_000)

/** What a deployment does not have before its first start, or before another command was run. */
const NOT_YET: Record<string, Finding['verdict']> = {
  'monitor.configured': 'fail',
  'backup.restored': 'fail',
  'incident.drilled': 'fail',
  'rotate.scheduled': 'skip',
}

describe.each(own.map(check => [check.id, check] as const))('the static check %s', (id, check) => {
  it('passes on files as setup leaves them, if it does not wait for something to be done later', () => {
    const { verdict, evidence } = some(pristine.get(id))
    expect({ verdict, evidence }).toEqual({
      verdict: NOT_YET[id] ?? 'pass',
      evidence: expect.stringMatching(/\w/),
    })
  })

  it('fails on files that were broken for it', () => {
    const found = some(broken.get(id))
    expect(found).not.toBeInstanceOf(Error)
    expect(found).toMatchObject({ verdict: 'fail', evidence: expect.stringMatching(/\w/) })
  })

  it('says something else then, unless it fails before anything is broken', () => {
    const [before, after] = [some(pristine.get(id)), some(broken.get(id))]
    const differs = Reflect.get(after, 'evidence') !== before.evidence
    expect(differs).toBe(check.sabotage.weaken !== undefined)
    expect(differs || before.verdict === 'fail').toBe(true)
  })

  it('asks neither the engine nor the container', () => {
    for (const found of [pristine.get(id), broken.get(id)])
      expect(Reflect.get(some(found), 'evidence')).not.toMatch(/a static check asked for/)
  })

  it('shows no secret', () => {
    const shown = JSON.stringify([pristine.get(id), broken.get(id)])
    expect(shown).not.toContain(whole.token.expose())
  })
})

describe('what another command does later', () => {
  it.each([
    ['monitor.configured', 'monitor'],
    ['backup.restored', 'restore-drill'],
  ])('%s passes when the journal has it done', async (id, procedure) => {
    const copy = another()
    copy.journal.append({ run: 'r', procedure, event: 'begun' })
    expect(await look(some(own.find(check => check.id === id)), copy)).toMatchObject({ verdict: 'fail' })
    copy.journal.append({ run: 'r', procedure, event: 'done' })
    expect(await look(some(own.find(check => check.id === id)), copy)).toMatchObject({ verdict: 'pass' })
  })

  it('incident.drilled passes when a drill of each runbook has said that it succeeded', async () => {
    const copy = another()
    const check = some(own.find(({ id }) => id === 'incident.drilled'))
    const rehearse = (id: string) => {
      const path = `runbooks/${id}.yaml`
      const deeds = deedsOf(readRunbook(readFileSync(join(copy.layout.root, path), 'utf8'), path, EFFECTS))
      const drill = { at: sources.now().toISOString(), deeds, ok: true, seconds: 90, missed: [] }
      recordDrill(copy.layout, id, drill)
    }
    rehearse('credential-exposed')
    expect(await look(check, copy)).toMatchObject({
      verdict: 'fail',
      evidence: 'container-compromised was never rehearsed',
    })
    rehearse('container-compromised')
    expect(await look(check, copy)).toMatchObject({ verdict: 'pass' })
  })

  it('a state with something in it is searched, also its folders, and links are not followed', async () => {
    const copy = another()
    const check = some(own.find(({ id }) => id === 'secrets.state'))
    copy.write('state/agents/main/note.txt', 'nothing of value')
    expect(await look(check, copy)).toMatchObject({ verdict: 'pass' })
    copy.write('state/agents/main/deep/er.txt', copy.token)
    expect(await look(check, copy)).toMatchObject({
      verdict: 'fail',
      evidence: expect.stringContaining('agents/main/deep/er.txt'),
    })
  })
})

describe('git, asked about a copy', () => {
  const ignored = () => some(own.find(({ id }) => id === 'secrets.ignored'))

  it('says the same in a repository as without one', async () => {
    const copy = another()
    const before = await look(ignored(), copy)
    await copy.git('init', '--quiet')
    const after = await look(ignored(), copy)
    expect([before.verdict, after.verdict]).toEqual(['pass', 'pass'])
  })

  it('is understood also where it quotes a name', async () => {
    const copy = another()
    copy.write('secrets/tökén', 'x', 0o400)
    await copy.git('init', '--quiet')
    await copy.git('add', '--force', 'secrets/tökén')
    const untracked = some(own.find(({ id }) => id === 'secrets.untracked'))
    expect(await look(untracked, copy)).toMatchObject({ verdict: 'fail' })
  })

  it('that cannot answer leaves it unknown', async () => {
    const copy = another()
    await copy.git('init', '--quiet')
    writeFileSync(join(copy.root, '.git/config'), 'no configuration')
    for (const id of ['secrets.untracked', 'secrets.ignored'])
      expect(await look(some(own.find(check => check.id === id)), copy)).toMatchObject({
        verdict: 'unknown',
        evidence: expect.stringContaining('git could not say'),
      })
  })
})

describe('a file that cannot be read', () => {
  // A secret that nobody has stored is one that nobody can take out of what is shown.
  const unknownSecret = 'x9f8e7d6c5b4a39281706f5e4d3c2b1a0'

  it.each([
    ['compose.ports', 'docker-compose.yml', `services:\n  gw:\n    TOKEN: "${unknownSecret}\n`],
    ['agents.elevated', 'config/openclaw.json', `{"a": "${unknownSecret}" "b"}`],
    ['agents.elevated', 'config/openclaw.json', `{"a": ${unknownSecret}}`],
  ])('leaves %s unknown, and none of %s is shown', async (id, path, text) => {
    const copy = another()
    copy.write(path, text)
    const { verdict, evidence } = await look(some(own.find(check => check.id === id)), copy)
    expect(verdict).toBe('unknown')
    expect(evidence).not.toContain(unknownSecret.slice(0, 8))
  })
})

describe('a copy of a deployment', () => {
  it('has secrets of its own, and its files below the folders that are mounted belong to the gateway’s user', () => {
    expect(whole.token.length).toBe(64)
    expect(whole.secretFiles()).toHaveLength(2)
    expect(JSON.parse(whole.read('docker-compose.yml'))).toMatchObject({
      services: { 'openclaw-gateway': { restart: 'no' } },
    })
  })

  it('is broken alone: the one it was copied from does not change', async () => {
    const before = whole.read('docker-compose.yml')
    const copy = another()
    copy.service({ read_only: false, cap_drop: undefined })
    copy.environment('X', '1')
    copy.mount('/a', '/b', true)
    copy.network('front', { driver_opts: { x: 'y' } })
    copy.policy(['gateway', 'port'], 1)
    copy.chmod('deployment.yaml', 0o600)
    const changed = JSON.parse(copy.read('docker-compose.yml'))
    const gateway = changed.services['openclaw-gateway']
    expect(gateway).toMatchObject({ read_only: false, environment: { X: '1' } })
    expect(gateway).not.toHaveProperty('cap_drop')
    expect(gateway.volumes.at(-1)).toEqual({ type: 'bind', source: '/a', target: '/b', read_only: true })
    expect(changed.networks.front.driver_opts).toMatchObject({
      x: 'y',
      'com.docker.network.bridge.enable_icc': 'false',
    })
    expect(JSON.parse(copy.read('config/openclaw.json')).gateway.port).toBe(1)
    expect(whole.read('docker-compose.yml')).toBe(before)
  })

  it('says what git said when git fails', async () => {
    const copy = another()
    chmodSync(copy.root, 0o700)
    await expect(copy.git('log')).rejects.toMatchObject({ code: 'git_failed' })
  })
})
