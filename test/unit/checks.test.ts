import { readdirSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ToolError } from '../../src/errors.ts'
import { ENGINE_SOCKET } from '../../src/gateway/sandbox.ts'
import { THREATS } from '../../src/procedure/step.ts'
import { CHECKLIST } from '../../src/report/report.ts'
import { Redactor } from '../../src/secret.ts'
import { demand, ours, serviceIfAny } from '../../steps/verify/check.ts'
import { factsOf } from '../../steps/verify/facts.ts'
import { checks } from '../../steps/verify/index.ts'
import { judge } from '../../steps/verify/judge.ts'
import { altered, at, record } from '../../steps/verify/tree.ts'
import { NotApplicable, once, type World } from '../../steps/verify/world.ts'
import { answers, container, layout } from './container.ts'
import { some, thrown } from './support.ts'
import {
  attempts,
  blind,
  check as byId,
  event,
  foreign,
  healthy,
  inside,
  judges,
  key,
  NOBODY_STOPS,
  policy,
  service,
  token,
  verdictOf,
  withAttempts,
  withConfig,
  withContainer,
  withHost,
  withJudges,
  withPolicy,
  withService,
  withState,
} from './world.ts'

describe('the checks', () => {
  it('are at least sixty', () => {
    expect(checks.length).toBeGreaterThanOrEqual(60)
  })

  it('have an id each of their own, and belong to a line, a threat and a place in the seed', () => {
    expect(new Set(checks.map(check => check.id)).size).toBe(checks.length)
    expect(new Set(checks.map(check => check.title)).size).toBe(checks.length)
    for (const { id, line, threat, refs, remedy, title } of checks) {
      expect(id).toMatch(/^[a-z]+\.[a-z-]+$/)
      expect(line).toBeGreaterThanOrEqual(1)
      expect(line).toBeLessThanOrEqual(CHECKLIST.length)
      expect(THREATS).toContain(threat)
      for (const text of [refs.seed, remedy, title]) expect(text.trim()).not.toBe('')
    }
  })

  it('leave no line of the checklist and no threat without one', () => {
    expect([...new Set(checks.map(check => check.line))].sort((a, b) => a - b)).toEqual(
      CHECKLIST.map((_, index) => index + 1),
    )
    expect(new Set(checks.map(check => check.threat))).toEqual(new Set(THREATS))
  })

  it('stand in a file each, named like the check, and every such file is used', () => {
    const folder = resolve(import.meta.dirname, '../../steps/verify')
    const files = readdirSync(folder).filter(name => /^[a-z]+-[a-z-]+\.ts$/.test(name))
    expect(files.sort()).toEqual(checks.map(({ id }) => `${id.replace('.', '-')}.ts`).sort())
  })

  it('can be broken, unless another command sets up what they look at', () => {
    const unbreakable = checks.filter(({ sabotage }) => (sabotage.weaken ?? sabotage.spoil) === undefined)
    expect(unbreakable.map(({ id }) => id)).toEqual(['monitor.configured', 'backup.restored'])
    expect(unbreakable.every(({ later }) => later === true)).toBe(true)
  })

  it('of files are broken in files: nothing of them runs', () => {
    const spoilt = checks.filter(({ kind, sabotage }) => kind === 'static' && sabotage.spoil !== undefined)
    expect(spoilt).toEqual([])
  })
})

/** Found in the answers, which are known before anybody looks. */
const NEED_NOTHING = ['suppressions.current']

/** What there is only where an agent has commands. */
const NEED_A_SANDBOX = ['sandbox.entered', 'sandbox.programs']
const CODING = { ...answers, posture: 'coding' } as const

describe.each(checks.map(check => [check.id, check] as const))('the check %s', (id, check) => {
  const own = NEED_A_SANDBOX.includes(id) ? CODING : answers

  it('passes in a healthy deployment, and says what it saw', async () => {
    const { verdict, evidence } = await verdictOf(check, { ...healthy(), own })
    expect({ verdict, evidence }).toEqual({ verdict: 'pass', evidence: expect.stringMatching(/\w/) })
  })

  it('is unknown, with the reason, when it cannot look; one that needs no look says so', async () => {
    const nothing = blind(() => {
      throw new ToolError('engine_unreachable', 'the Docker engine does not answer', 'Start it.')
    }, own)
    const { verdict, evidence } = await verdictOf(check, nothing)
    expect({ verdict, evidence }).toEqual(
      NEED_NOTHING.includes(id)
        ? { verdict: 'pass', evidence: expect.stringContaining('deployment.yaml') }
        : { verdict: 'unknown', evidence: 'could not look: the Docker engine does not answer' },
    )
  })

  it('never shows a secret, wherever it lies', async () => {
    const redactor = new Redactor()
    for (const secret of [token, key]) redactor.learn(secret)
    const worlds = [token, key].flatMap(secret => [
      leaking(secret.expose()),
      foreign(leaking(secret.expose())),
      blind(() => {
        throw new Error(`failed with ${secret.expose()}`)
      }),
    ])
    const findings = (
      await Promise.all(worlds.map(one => judge([check], one, text => redactor.clean(text), NOBODY_STOPS)))
    ).flat()
    expect(findings).toHaveLength(worlds.length)
    for (const secret of [token, key]) expect(JSON.stringify(findings)).not.toContain(secret.expose())
  })

  it('explains what it cannot see of a deployment that is not ours', async () => {
    const strange: World[] = [
      foreign({ policy: async () => ({}) }),
      foreign({
        policy: async () => ({ gateway: 'x', logging: ['y'], tools: null, plugins: 1, secrets: [] }),
      }),
      foreign({
        service: async () => Promise.reject(new NotApplicable('there is no Compose file')),
        profile: async () => Promise.reject(new NotApplicable('there is no Compose file')),
        file: () => undefined,
        secrets: async () => new Map(),
      }),
      foreign({ container: async () => bare() }),
    ]
    for (const world of strange) {
      const { verdict, evidence } = await verdictOf(check, world)
      expect(evidence).toMatch(/\w/)
      expect(evidence).not.toMatch(/\w*Error:|is not a function|Cannot read|\[object|undefined/)
      if (verdict === 'unknown') expect(evidence).not.toMatch(/^could not look/)
    }
  })
})

/** A container of which the engine tells as little as it may. */
function bare() {
  const whole = container()
  return {
    ...whole,
    State: { ...whole.State, Health: undefined },
    Config: { ...whole.Config, User: '', Env: null, Labels: null, WorkingDir: '' },
    HostConfig: {
      ...whole.HostConfig,
      CapDrop: null,
      SecurityOpt: null,
      Tmpfs: null,
      Ulimits: null,
      PidsLimit: null,
      PortBindings: null,
      LogConfig: { Type: 'json-file', Config: null },
    },
    Mounts: [],
    NetworkSettings: { Networks: null, Ports: null },
  }
}

/** A deployment with a secret wherever a text comes from outside. */
function leaking(value: string): World {
  const world = healthy()
  const facts = container()
  const named = { ...service(), image: value, user: value, environment: { [value]: value, TOKEN: value } }
  return {
    ...world,
    suppressions: [{ check: value, reason: value, until: '2020-01-01' }],
    text: async path => `${await world.text(path)}\n${value}`,
    names: () => [value],
    leaksInState: async () => ({ searched: 1, left: 0, found: [value] }),
    policy: async () => ({
      ...policy(),
      gateway: {
        mode: value,
        auth: { rateLimit: value, token: value },
        controlUi: { allowedOrigins: [value] },
      },
      logging: { file: value, level: value, audit: { [value]: value }, [value]: value },
      tools: { exec: { mode: value }, elevated: { enabled: value } },
      plugins: { allow: [value] },
      commands: { bash: value },
      security: { [value]: value, audit: { suppressions: [value] } },
      [`${value}Token`]: value,
    }),
    service: async () => ({
      ...named,
      ports: [{ address: value, outside: value, inside: value }],
      mounts: [{ source: value, target: value, readOnly: true }],
      capAdd: [value],
      securityOpt: [value],
      tmpfs: { [value]: value },
      shared: [value],
      logging: { driver: value, options: { [value]: value } },
    }),
    profile: async () => JSON.stringify({ defaultAction: value }),
    journal: () => [{ ...world.journal()[1], at: value, event: 'done' } as never],
    chain: () => ({ intact: false, broken: 1, why: value }),
    tracked: async () => [`secrets/${value}`],
    addable: async () => [value],
    container: async () => ({
      ...facts,
      raw: value,
      State: { ...facts.State, Health: { Status: value } },
      Config: { ...facts.Config, Image: value, Env: [`TOKEN=${value}`, `${value}=${value}`] },
      HostConfig: {
        ...facts.HostConfig,
        NetworkMode: value,
        CapAdd: [value],
        SecurityOpt: [value],
        Tmpfs: { [value]: value },
        PortBindings: { [value]: [{ HostIp: value, HostPort: value }] },
        LogConfig: { Type: value, Config: { [value]: value } },
      },
      Mounts: [{ Type: 'bind', Source: value, Destination: value, RW: true }],
      NetworkSettings: { Networks: { [value]: {} }, Ports: null },
    }),
    networks: async () => [{ ...inside(), Name: value, Containers: { x: { Name: value } } }],
    front: async () => ({
      ...(await world.front()),
      Name: value,
      Options: { 'com.docker.network.bridge.gateway_mode_ipv4': value },
    }),
    proxied: async () => ({ [value]: 200 }),
    imageText: async () => `${value} MY_TOKEN=${value}`,
    processes: async () => [
      { pid: 1, name: value, uid: 0, caps: [value, value, value, value, value], noNewPrivs: 0, seccomp: 0 },
    ],
    mounts: async () => [{ type: value, target: value, options: [value] }],
    ulimit: async () => value,
    listening: async () => [
      { address: value, port: 9229 },
      { address: value, port: 18789 },
    ],
    denied: async () => ({ [value]: `${value} entries` }),
    attempted: async () => ({
      ...attempts(),
      write: { [value]: value },
      execute: { [value]: value },
      setuid: [value],
      connect: { [value]: 'connected' },
      calls: `${value}\n${attempts().calls}${value} ${value}\n`,
      fork: value,
      hog: value,
      hogEnd: value,
    }),
    stranger: async () => ({ uid: 1, seen: { [value]: value } }),
    judges: async () => ({
      security: () => ({
        summary: { critical: 1, warn: 0, info: 0 },
        findings: [{ checkId: value, severity: 'critical', title: value }],
      }),
      secrets: () => ({
        status: value,
        summary: { plaintextCount: 1, unresolvedRefCount: 0 },
        findings: [{ code: value, message: value }],
      }),
      approvals: () => [value],
      ledger: () => ({ records: 1, source: value }),
      objections: () => [value],
    }),
    addresses: () => [value],
    logs: async () => value,
  }
}

describe('a deployment that this tool did not make', () => {
  const verdictsIn = async (world: World) => {
    const findings = await judge(checks, world, text => text, NOBODY_STOPS)
    return (verdict: string) => findings.filter(one => one.verdict === verdict).map(one => one.check)
  }

  it('has none of our records: what is about them is skipped, each with the reason', async () => {
    const findings = await judge(checks, foreign(), text => text, NOBODY_STOPS)
    const skipped = findings.filter(one => one.verdict === 'skip')
    expect(skipped.map(one => one.check).sort()).toEqual([
      'companions.hardened',
      'container.as-file',
      'egress.filtered',
      'files.as-rendered',
      'files.private',
      'journal.intact',
      'rotate.scheduled',
      'sandbox.entered',
      'sandbox.programs',
      'secrets.ignored',
      'secrets.state',
      'secrets.stray',
      'store.current',
      'store.private',
      'suppressions.current',
      'token.age',
      'token.own',
    ])
    for (const { evidence } of skipped) expect(evidence).toMatch(/not made|no file here/)
  })

  it('is judged like ours in everything else', async () => {
    const of = await verdictsIn(foreign())
    expect(of('unknown')).toEqual([])
    // Nobody who made it by hand has thought of the way out.
    expect(of('fail')).toEqual(['egress.denied', 'monitor.configured', 'backup.restored', 'incident.contact'])
  })

  it('without a Compose file is judged by its container', async () => {
    const none = async () => Promise.reject(new NotApplicable('there is no Compose file'))
    const of = await verdictsIn(foreign({ service: none, profile: none }))
    const aboutTheFile = checks.map(({ id }) => id).filter(id => /^compose\.|^image\.pinned$/.test(id))
    expect(aboutTheFile.length).toBeGreaterThan(10)
    expect(of('skip')).toEqual(expect.arrayContaining(aboutTheFile))
    expect(of('unknown')).toEqual([])
  })

  it('is asked for limits, not for limits that nobody chose', async () => {
    const other = { memory: 4 * 1024 ** 3, pids: 99, cpus: 1 }
    const of = await verdictsIn(foreign({ cgroup: async () => ({ version: 2, ...other }) }))
    expect(of('pass')).toContain('limits.enforced')
    const unlimited = await verdictsIn(
      foreign({ cgroup: async () => ({ version: 2, ...other, pids: undefined }) }),
    )
    expect(unlimited('fail')).toContain('limits.enforced')
  })

  it('must not let git add what usually holds a secret', async () => {
    const path = `${layout.root}/.env`
    const file: World['file'] = asked => (asked === path ? healthy().file(layout.configFile) : undefined)
    const open = await verdictsIn(foreign({ file, addable: async paths => [...paths] }))
    expect(open('fail')).toContain('secrets.ignored')
    const closed = await verdictsIn(foreign({ file, addable: async () => [] }))
    expect(closed('pass')).toContain('secrets.ignored')
  })
})

type Row = [id: string, what: string, change: Partial<World>]

/** Rows in which nothing could be seen: none may pass, and none may blame the deployment for it either. */
const nothing: Row[] = [
  ['privileges.none', 'no process', { processes: async () => [] }],
  ['secrets.hidden', 'no process', { searchProc: async () => ({ environ: 0, cmdline: 0, searched: 0 }) }],
  ['secrets.hidden', 'no secret to look for', { secrets: async () => new Map() }],
  ['rootfs.readonly', 'no folder tried', withAttempts({ write: {} })],
  ['rootfs.readonly', 'only that /tmp can be written', withAttempts({ write: { '/tmp': 'written' } })],
  ['tmp.noexec', 'no folder tried', withAttempts({ execute: {} })],
  [
    'tmp.noexec',
    'a program that could not be tried',
    withAttempts({ execute: { '/tmp': 'not tried: ENOENT' } }),
  ],
  ['image.setuid', 'no find', withAttempts({ setuid: ['find is missing'] })],
  ['seccomp.calls', 'no call', withAttempts({ calls: '' })],
  ['seccomp.calls', 'a probe that is not there', withAttempts({ calls: 'ENOENT' })],
  ['seccomp.calls', 'a probe that stopped early', withAttempts({ calls: 'bpf EPERM\nunshare EPERM\n' })],
  ['limits.fork', 'no process', withAttempts({ fork: '' })],
  ['limits.fork', 'another end', withAttempts({ fork: 'forked 3 ENOMEM\n' })],
  ['limits.hog', 'a hog that did not begin', withAttempts({ hog: '', hogEnd: 'ENOENT' })],
  ['limits.hog', 'a hog that ended by itself', withAttempts({ hog: 'touched 64\n', hogEnd: '1' })],
  ['egress.denied', 'no address', withAttempts({ connect: {} })],
  [
    'egress.denied',
    'a refusal that may be this machine’s own',
    { ...withAttempts({ route: true }), networks: async () => [{ ...inside(), Internal: false }] },
  ],
  ['egress.filtered', 'a proxy that is silent', { proxied: async () => ({ 'x.invalid:443': 0 }) }],
  ['ports.unreachable', 'no other address', { addresses: () => [] }],
  ['ports.unreachable', 'no gateway', { reach: async () => 'refused' }],
  ['ports.listening', 'no socket', { listening: async () => [] }],
  [
    'ports.single',
    'no port',
    {
      published: async () => container(),
    },
  ],
  ['files.denied', 'no folder', { denied: async () => ({}) }],
  ['secrets.private', 'no secret', { stranger: async () => ({ uid: 65534, seen: {} }) }],
  [
    'secrets.state',
    'more than can be searched',
    { leaksInState: async () => ({ searched: 9, left: 1, found: [] }) },
  ],
  ['token.accepted', 'no gateway', { askHost: async () => undefined }],
  ['token.accepted', 'a lock-out', { askHost: async () => 429 }],
  ['token.required', 'no gateway', { askHost: async () => undefined }],
  ['token.guessed', 'no gateway', { askWrong: async () => undefined }],
  ['token.age', 'a store that does not say', { stored: async () => undefined }],
  [
    'token.age',
    'a name that tells no day',
    { stored: async () => ({ revision: 1, current: { rotationId: 'x', value: token } }) },
  ],
  [
    'container.health',
    'one that starts, and does not answer',
    { ...withState({ Health: { Status: 'starting' } }), health: async () => undefined },
  ],
  ['container.as-file', 'a file that Compose cannot read', { plannedHashes: async () => new Map() }],
  ...['gateway.api', 'gateway.tools'].flatMap((id): Row[] =>
    [undefined, 401, 403, 429].map(status => [
      id,
      `a door that stays shut (${status ?? 'no answer'})`,
      { post: async () => status },
    ]),
  ),
  ...['audit.openclaw', 'audit.config', 'audit.ledger', 'secrets.audit'].map((id): Row => {
    const silent = () => {
      throw new ToolError('judge_silent', 'openclaw gave no verdict (code 137): killed', '')
    }
    return [
      id,
      'a judge who is silent',
      withJudges({ security: silent, secrets: silent, ledger: silent, objections: silent }),
    ]
  }),
]

describe('a check that saw nothing is unknown', () => {
  it.each(nothing)('%s: %s', async (id, _, change) => {
    const { verdict, evidence } = await verdictOf(byId(id), { ...healthy(), ...change })
    expect({ verdict, evidence }).toEqual({ verdict: 'unknown', evidence: expect.stringMatching(/\w/) })
  })

  it.each<Row>([
    ['seccomp.enforced', 'no process', { processes: async () => [] }],
    ['files.scoped', 'no mount', withContainer({ Mounts: [] })],
    ['compose.mounts', 'no volume', withService({ mounts: [] })],
    ['token.file', 'no secret', { policy: async () => ({}) }],
    ['journal.intact', 'an empty journal', { chain: () => ({ intact: true, events: 0 }) }],
    ['ports.published', 'no port', { published: async () => container() }],
  ])('or fails, where there has to be something: %s, %s', async (id, _, change) => {
    expect(await verdictOf(byId(id), { ...healthy(), ...change })).toMatchObject({ verdict: 'fail' })
  })

  it('but a secret that was found is a failure, also when something else could not be searched', async () => {
    const world: World = {
      ...healthy(),
      logs: async () => token.expose(),
      searchProc: async () => ({ environ: 0, cmdline: 0, searched: 0 }),
    }
    expect(await verdictOf(byId('secrets.hidden'), world)).toMatchObject({ verdict: 'fail' })
  })
})

describe('what only looks wrong passes', () => {
  const fine: Row[] = [
    [
      'ports.neighbours',
      'an old engine with the rule',
      { engine: async () => ({ ...(await healthy().engine()), ServerVersion: '20.10.24+dfsg1' }) },
    ],
    ['secrets.untracked', 'a folder in no repository', { tracked: async () => 'no repository' }],
    ['container.health', 'one that starts and answers', withState({ Health: { Status: 'starting' } })],
    [
      'container.stable',
      'one that came back long ago',
      { now: new Date('2026-11-25T02:00:00Z'), ...withContainer({ RestartCount: 3 }) },
    ],
    [
      'limits.hog',
      'the kernel that ends the whole container',
      withAttempts({ hog: '', hogEnd: 'container 137' }),
    ],
    [
      'limits.hog',
      'memory that is refused',
      withAttempts({ hog: 'touched 64\nrefused ENOMEM\n', hogEnd: '1' }),
    ],
    ['limits.hog', 'a smaller limit, on a machine with little memory', withAttempts({ reducedTo: 512 })],
    [
      'tmp.noexec',
      'a folder nothing can be put into',
      withAttempts({ execute: { '/tmp': 'EACCES', '/x': 'not writable: EROFS' } }),
    ],
    ['egress.denied', 'silence, and no way out', withAttempts({ connect: { 'a:1': 'silent' } })],
    ['files.denied', 'an empty folder', { denied: async () => ({ '/root': '0 entries' }) }],
    [
      'image.running',
      'a container that names the image by its id',
      withService({ image: container().Image }),
    ],
    [
      'limits.logs',
      'a driver that rotates by itself',
      withHost({ LogConfig: { Type: 'local', Config: null } }),
    ],
    [
      'policy.loaded',
      'a refused change that was taken back',
      {
        logs: async () =>
          JSON.stringify({ time: '2026-11-23T01:00:00.000Z', message: 'config reload skipped' }),
      },
    ],
    [
      'policy.loaded',
      'a refused change before one that was taken',
      {
        logs: async () =>
          ['config reload skipped', 'config change detected; evaluating reload']
            .map((message, index) => JSON.stringify({ time: `2026-11-23T03:0${index}:00.000Z`, message }))
            .join('\n'),
      },
    ],
    [
      'secrets.environment',
      'a path to a credential',
      withConfig({ Env: ['TOKEN=/run/secrets/x', 'EMPTY_TOKEN='] }),
    ],
    [
      'secrets.references',
      'a reference to the environment',
      withPolicy(['models', 'providers', 'mine'], { apiKey: '${MY_KEY}' }),
    ],
    [
      'privileges.none',
      'user 0 of a rootless engine',
      {
        engine: async () => ({ ...(await healthy().engine()), SecurityOptions: ['name=rootless'] }),
        processes: async () => (await healthy().processes()).map(one => ({ ...one, uid: 0 })),
      },
    ],
    [
      'compose.user',
      'user 0 where that is the person who runs it',
      {
        ...withService({ user: '0:0' }),
        journal: () => [
          event('setup', {
            event: 'step-done',
            step: 'owner.probe',
            facts: { uid: 0, by: 'same', person: 1000 },
          }),
        ],
      },
    ],
    ['token.age', 'a token of 35 days', { now: new Date('2026-12-28T01:40:00Z') }],
    [
      'suppressions.current',
      'one that ends today',
      { suppressions: [{ check: 'ports.neighbours', reason: 'for the move only', until: '2026-11-24' }] },
    ],
    [
      'secrets.state',
      'a state before the first start',
      { leaksInState: async () => ({ searched: 0, left: 0, found: [] }) },
    ],
    ['audit.log-kept', 'a log before the first start', { file: () => undefined, journal: () => [] }],
    [
      'audit.openclaw',
      'notes',
      withJudges({
        security: () => ({ ...judges().security(), summary: { critical: 0, warn: 0, info: 99 } }),
      }),
    ],
    ['policy.keys', 'a configuration that is not there', { policy: async () => ({}) }],
    [
      'seccomp.enforced',
      'the same profile, written otherwise',
      { profile: async () => JSON.stringify(JSON.parse(some(await healthy().profile())), null, 8) },
    ],
  ]
  it.each(fine)('%s: %s', async (id, _, change) => {
    const { verdict, evidence } = await verdictOf(byId(id), { ...healthy(), ...change })
    expect({ verdict, evidence }).toMatchObject({ verdict: 'pass' })
  })

  it('user 0 of an ordinary engine is root, whatever the journal of another machine says', async () => {
    const facts = { uid: 0, by: 'same', person: 0 }
    const world: World = {
      ...healthy(),
      ...withService({ user: '0:0' }),
      journal: () => [event('setup', { event: 'step-done', step: 'owner.probe', facts })],
    }
    expect(await verdictOf(byId('compose.user'), world)).toMatchObject({ verdict: 'fail' })
  })

  it('a container that nobody wrote a Compose file for is judged by its image’s name', async () => {
    const byHand = { service: async () => Promise.reject(new NotApplicable('there is no Compose file')) }
    expect(await verdictOf(byId('image.running'), { ...healthy(), ...byHand })).toMatchObject({
      verdict: 'pass',
    })
    const tagged = { ...healthy(), ...byHand, ...withConfig({ Image: 'openclaw:latest' }) }
    expect(await verdictOf(byId('image.running'), tagged)).toMatchObject({ verdict: 'fail' })
    expect(await verdictOf(byId('seccomp.enforced'), { ...healthy(), ...byHand })).toMatchObject({
      verdict: 'fail',
      evidence: expect.stringContaining('none of its own'),
    })
  })
})

describe('a profile that is in force', () => {
  it('is unknown to fit where it was tried on another engine or kernel', async () => {
    const untried = async () => ['kernel 6.8.0, not 6.7.0']
    expect(await verdictOf(byId('seccomp.enforced'), { ...healthy(), untried })).toMatchObject({
      verdict: 'unknown',
      evidence: expect.stringMatching(
        /profile is the file’s, and was not tried .*kernel 6\.8\.0, not 6\.7\.0/,
      ),
      remedy: expect.stringContaining('create-openclaw-secure . again'),
    })
    // What is not in force at all is a failure, tried or not.
    const other = { ...withHost({ SecurityOpt: ['no-new-privileges:true'] }), untried }
    expect(await verdictOf(byId('seccomp.enforced'), { ...healthy(), ...other })).toMatchObject({
      verdict: 'fail',
    })
  })
})

describe('what checks are made of', () => {
  it('a demand shows what is wrong alone, and what is right only when all is', () => {
    const seen = { a: { b: 1 }, c: [2] }
    expect(
      demand(seen, [
        ['a.b', 1],
        ['c', [2]],
      ]),
    ).toEqual({ verdict: 'pass', evidence: 'openclaw.json: a.b 1, c [2]' })
    expect(
      demand(seen, [
        ['a.b', 1],
        ['x.y', false],
      ]),
    ).toEqual({ verdict: 'fail', evidence: 'openclaw.json: x.y not set' })
    expect(demand(seen, [['a.b', '1']])).toMatchObject({ verdict: 'fail' })
  })

  it('our answers are there in our deployments alone', async () => {
    expect(ours({ own: answers })).toBe(answers)
    expect(await thrown(() => ours({ own: undefined }))).toBeInstanceOf(NotApplicable)
  })

  it('a Compose file that is not there is no error; one that cannot be read is', async () => {
    expect(
      await serviceIfAny({ service: async () => Promise.reject(new NotApplicable('none')) }),
    ).toBeUndefined()
    expect(
      (await thrown(() => serviceIfAny({ service: async () => Promise.reject(new Error('bad')) }))).message,
    ).toBe('bad')
  })

  it('a source is read once, however many ask, and also when it fails', async () => {
    let reads = 0
    const read = once(async () => {
      reads += 1
      throw new Error('no')
    })
    await Promise.allSettled([read(), read(), read()])
    expect(reads).toBe(1)
  })

  it('changes one value in a copy, however deep, and makes what is missing', () => {
    const tree = { a: { b: { c: 1 }, d: 2 }, e: 'text' }
    expect(altered(tree, ['a', 'b', 'c'], 9)).toEqual({ a: { b: { c: 9 }, d: 2 }, e: 'text' })
    expect(altered(tree, ['x', 'y'], 1)).toEqual({ ...tree, x: { y: 1 } })
    expect(altered(tree, ['e', 'f'], 1)).toEqual({ ...tree, e: { f: 1 } })
    expect(JSON.parse(JSON.stringify(altered(tree, ['a', 'b'], undefined)))).toEqual({
      a: { d: 2 },
      e: 'text',
    })
    expect(tree.a.b.c).toBe(1)
  })

  it('finds a value in a tree, and undefined where the path ends early', () => {
    expect(at({ a: { b: [10, 20] } }, 'a', 'b', '1')).toBe(20)
    expect(at({ a: null }, 'a', 'b')).toBeUndefined()
    expect(at('text', 'a')).toBeUndefined()
    expect(record(null)).toEqual({})
  })
})

describe('the facts of a run', () => {
  it('are hashes of the files, and with an engine what it says of itself, the image and the container', async () => {
    const files = ['deployment.yaml', 'docker-compose.yml', 'config/openclaw.json', 'seccomp-profile.json']
    expect(Object.keys(await factsOf(healthy(), false))).toEqual(files)
    expect(await factsOf(healthy(), true)).toMatchObject({
      'docker-compose.yml': expect.stringMatching(/^[0-9a-f]{12}$/),
      image: `sha256:${'b'.repeat(12)}`,
      container: 'c0ffee',
      started: '2026-11-23T01:40:00Z',
      engine: '28.1.0',
    })
  })

  it('leave out what cannot be seen', async () => {
    const world = { ...healthy(), container: async () => Promise.reject(new Error('gone')) }
    expect(Object.keys(await factsOf(world, true))).toEqual(
      expect.arrayContaining(['docker-compose.yml', 'engine']),
    )
    expect(await factsOf(world, true)).not.toHaveProperty('image')
    expect(
      await factsOf(
        blind(() => {
          throw new Error('no')
        }),
        true,
      ),
    ).toEqual({})
  })
})

describe('threat: privilege escalation: a gateway that was handed the engine’s socket on purpose', () => {
  const own = { ...answers, posture: 'coding', agentSandbox: 'docker' } as const
  const socket = { source: ENGINE_SOCKET, target: ENGINE_SOCKET, readOnly: true }
  const handed = (): World => {
    const shared = ['an engine socket, which is root on this machine']
    const mount = { Type: 'bind', Source: ENGINE_SOCKET, Destination: ENGINE_SOCKET, RW: false }
    return {
      ...healthy(),
      ...withContainer({ Mounts: [...container().Mounts, mount] }),
      service: async () => ({ ...service(), shared, mounts: [...service().mounts, socket] }),
      own,
    }
  }

  it.each(['compose.host', 'host.closed', 'compose.mounts'])(
    'fails %s, which says what was handed out',
    async id => {
      const { verdict, evidence } = await verdictOf(byId(id), handed())
      expect({ verdict, evidence }).toEqual({
        verdict: 'fail',
        evidence: expect.stringMatching(/root on this machine|docker\.sock must never be mounted/),
      })
    },
  )

  it.each(['sandbox.entered', 'sandbox.programs'])('has no sandbox for %s to look into', async id => {
    const { verdict, evidence } = await verdictOf(byId(id), handed())
    expect({ verdict, evidence }).toEqual({
      verdict: 'skip',
      evidence: expect.stringContaining('agent.sandbox'),
    })
  })

  it('is asked for no container of a sandbox', async () => {
    const gone = async () => Promise.reject(new Error('there is no sandbox'))
    expect(await verdictOf(byId('companions.hardened'), { ...handed(), sandbox: gone })).toMatchObject({
      verdict: 'pass',
    })
  })
})
