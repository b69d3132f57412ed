import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { type Answers, hasSandbox, hasSocket, keySecretOf } from '../../src/deployment/answers.ts'
import { composition } from '../../src/deployment/composition.ts'
import { providerProblem } from '../../src/deployment/egress.ts'
import { layoutOf } from '../../src/deployment/layout.ts'
import { makePlan, type Plan, profilesOf, sshTunnel } from '../../src/deployment/plan.ts'
import { json, RUNBOOKS, render, runbook, verbatim } from '../../src/deployment/render.ts'
import { SERVICE } from '../../src/docker/compose.ts'
import { describeProblem, ToolError } from '../../src/errors.ts'
import { sandboxRecipe } from '../../src/gateway/image.ts'
import { allSecretNamesOf, GATEWAY_TOKEN, gatewayPolicy, secretNamesOf } from '../../src/gateway/policy.ts'
import { parseCommentedJson } from '../../src/json.ts'
import { gather } from '../../src/wizard/gather.ts'
import type { AnswerId } from '../../src/wizard/question.ts'
import { questions } from '../../src/wizard/questions.ts'
import { anyAnswers, hostile } from './generators.ts'
import { ANSWERS, some } from './support.ts'

const PINNED = `ghcr.io/openclaw/openclaw@sha256:${'a'.repeat(64)}`
const USER = { uid: 1000, gid: 1000 }
const BORDER = `sha256:${'d'.repeat(64)}`
const SANDBOX = `sha256:${'e'.repeat(64)}`
const IMAGES = { gateway: PINNED, border: BORDER, sandbox: SANDBOX }
const FULL: Answers = {
  ...ANSWERS,
  providers: [{ id: 'openai' }, { id: 'mine', url: 'https://llm.example/v1' }],
  model: 'mine/big-1',
  image: 'build',
  baseImage: 'node:24-bookworm-slim',
  access: 'proxy',
  proxyHost: 'openclaw.example.org',
  proxyCertificate: '/etc/ssl/a.pem',
  proxyKey: '/etc/ssl/a.key',
  contact: 'Zoë, +49 30 1234',
}

function planOf(answers: Answers, pinned = PINNED): Plan {
  return makePlan({
    answers,
    written: 'version: 1\n',
    layout: layoutOf('/srv/gw'),
    image: { pinned, label: pinned },
    border: { pinned: BORDER, label: BORDER },
    sandbox: { pinned: SANDBOX, label: SANDBOX },
    socketGroup: 998,
    ownership: { user: USER, host: USER, by: 'chown' },
    secrets: secretNamesOf(answers).map(name => ({ name, rotationId: '20261123t014000-1a2b3c4d' })),
  })
}

function fileOf(plan: Plan, path: string): string {
  return some(
    plan.files.find(file => file.path === path),
    path,
  ).content
}

/** As a reader of the file sees it: what JSON can say. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}

/** All paths of keys in a parsed file, so that one more key shows. */
function keysOf(tree: unknown, above = ''): string[] {
  if (typeof tree !== 'object' || tree === null) return []
  return Object.entries(tree).flatMap(([key, value]) => [
    `${above}/${key}`,
    ...keysOf(value, `${above}/${key}`),
  ])
}

/** Lines as the strictest reader counts them. */
function lines(text: string): number {
  return text.split(/\r\n|[\n\r\v\f\u0085\u2028\u2029]/).length
}

/** The structure of the Compose file, worked out once more. */
function planned(answers: Answers, pinned = PINNED) {
  return composition(
    answers,
    { gateway: pinned, border: BORDER, sandbox: hasSandbox(answers) ? SANDBOX : undefined },
    USER,
    profilesOf(answers),
    false,
    998,
  )
}

const benign = planOf(FULL)
const benignKeys = (egress: Answers['egress']) =>
  keysOf(parse(fileOf(planOf({ ...FULL, egress }), 'docker-compose.yml')))

/** That the two structured files are exactly what was planned, also for readers of YAML 1.1, as Compose is one. */
function expectAsPlanned(plan: Plan, answers: Answers, pinned = PINNED): void {
  const compose = fileOf(plan, 'docker-compose.yml')
  const wanted = plain(planned(answers, pinned))
  expect(parse(compose)).toEqual(wanted)
  expect(parse(compose, { version: '1.1' })).toEqual(wanted)
  expect(keysOf(parse(compose))).toEqual(benignKeys(answers.egress))
  const secrets = secretNamesOf(answers).map(name => ({ name, rotationId: '20261123t014000-1a2b3c4d' }))
  expect(parseCommentedJson(fileOf(plan, 'config/openclaw.json'))).toEqual(
    plain(gatewayPolicy(answers, secrets)),
  )
}

describe('ten thousand hostile answers', () => {
  const seed = 20_261_123
  const WORLDS: Partial<Record<AnswerId, Partial<Answers>>> = {
    sshTarget: { access: 'ssh' },
    imageReference: { image: 'reference' },
  }
  const tried: AnswerId[] = [
    'name',
    'model',
    'imageReference',
    'baseImage',
    'version',
    'timezone',
    'sshTarget',
    'proxyHost',
    'proxyCertificate',
    'proxyKey',
    'providers',
  ]

  it('are refused by their question with a message that names it, or taken as nothing but a value', () => {
    let cases = 0
    const taken = new Map<AnswerId, unknown[]>()
    for (const text of fc.sample(hostile, { numRuns: 10_000, seed })) {
      // The contact may be any visible text, so it takes the most; every 50th is enough of them.
      const id = cases % 50 === 0 ? 'contact' : some(tried[cases % tried.length])
      cases += 1
      const question = some(questions.find(one => one.id === id))
      const value = question.kind.fromText(text)
      if (value !== undefined) {
        taken.set(id, [...(taken.get(id) ?? []), value])
        continue
      }
      const { problems } = gather({ flags: { [id]: [text] }, build: false, environment: {} })
      const [problem] = problems
      if (
        problems.length !== 1 ||
        problem?.field !== id ||
        problem.flag !== question.flag ||
        lines(describeProblem(problem)) !== 1
      )
        throw new Error(`${id}: ${JSON.stringify(text)}`)
    }
    expect(cases).toBe(10_000)

    // What was taken is rendered, one of each kind at a time.
    const texts = ['README.md', 'runbooks/README.md', 'Dockerfile', 'proxy/nginx.conf']
    const linesOf = (plan: Plan) =>
      texts.map(path => lines(plan.files.find(file => file.path === path)?.content ?? ''))
    const harmless = new Map<string, number[]>()
    let rendered = 0
    for (let at = 0; [...taken.values()].some(values => at < values.length); at++) {
      const here = [...taken].filter(([, values]) => at < values.length)
      rendered += here.length
      const worlds = here.map(([id]) => WORLDS[id] ?? {})
      const answers: Answers = Object.assign(
        {},
        FULL,
        ...worlds,
        Object.fromEntries(here.map(([id, values]) => [id, values[at]])),
      )
      // Some providers the proxy could never reach: those are refused beside a closed border.
      if (answers.providers.some(one => providerProblem(one) !== undefined)) answers.egress = 'open'
      const plan = planOf(answers)
      const { image, access, egress } = answers
      const like =
        harmless.get(`${image} ${access} ${egress}`) ??
        linesOf(planOf({ ...FULL, image, access, egress, sshTarget: 'a@b' }))
      harmless.set(`${image} ${access} ${egress}`, like)
      expect(parse(fileOf(plan, 'docker-compose.yml'))).toEqual(plain(planned(answers)))
      expect(linesOf(plan)).toEqual(like)
    }
    // Some of them are harmless: if none was taken, nothing was shown.
    expect(rendered).toBeGreaterThan(50)
  })

  it('forced past their questions still add no key and change none, in any file that has keys', () => {
    let cases = 0
    const texts = fc.sample(hostile, { numRuns: 3200, seed: seed + 1 })
    const next = () => some(texts[cases++])
    while (cases < 3000) {
      const providers = Array.from({ length: 60 }, () => ({ id: next(), url: next() }))
      const answers: Answers = {
        ...FULL,
        name: next(),
        providers,
        model: next(),
        timezone: next(),
        proxyHost: next(),
        contact: next(),
        baseImage: 'node:24',
        // The proxy's file has no quotes: there a host is looked at once more, and refused (egress.test.ts).
        egress: 'open',
      }
      const pinned = next()
      expectAsPlanned(planOf(answers, pinned), answers, pinned)
    }
    expect(cases).toBeGreaterThanOrEqual(3000)
  })

  it('are nothing but keys and values where YAML has both', () => {
    let cases = 0
    const texts = fc.sample(hostile, { numRuns: 5000, seed: seed + 2 })
    const next = () => some(texts[cases++])
    while (cases < 5000) {
      const compose = planned(FULL)
      const gateway = compose.services['openclaw-gateway']
      const wanted = {
        ...compose,
        services: {
          ...compose.services,
          'openclaw-gateway': {
            ...gateway,
            labels: Object.fromEntries(Array.from({ length: 100 }, () => [next(), next()])),
          },
        },
      }
      const text = render(
        'docker-compose.yml.hbs',
        {
          ...wanted,
          ...wanted.services,
          gateway: wanted.services['openclaw-gateway'],
          closed: true,
          sandboxed: false,
          socket: false,
        },
        'yaml',
        wanted,
      )
      expect(parse(text)).toEqual(plain(wanted))
    }
    expect(cases).toBe(5000)
  })

  it('are the famous ones too, in the contact, the model, the time zone and the image', () => {
    const famous = [
      '\n    privileged: true',
      '"\n    privileged: true\n    x: "',
      '"]}',
      '{{x}}',
      '{{{gateway}}}',
      '${HOME}',
      '$$',
      '\u2028',
      '\u202e',
      '\0',
      '"}, "tools": {"exec": {"mode": "full"}}, "x": {"y": "',
      '// x',
      'x'.repeat(10_000),
    ]
    for (const text of famous) {
      const answers = { ...FULL, contact: text, model: text, timezone: text, imageReference: text }
      expectAsPlanned(planOf(answers, text), answers, text)
    }
  })

  it('reach Compose with every $ doubled, so that it replaces nothing', () => {
    const service = parse(fileOf(planOf({ ...FULL, timezone: '${HOME}$$x' }), 'docker-compose.yml')).services[
      'openclaw-gateway'
    ]
    expect(service.environment.TZ).toBe('$${HOME}$$$$x')
  })

  it('are shown as escapes where an editor would hide or turn them', () => {
    const text = json('\u202e\u2028\u200b\ufeff\u007f\u0085\u00ad')
    expect(text).toMatch(/^[\x20-\x7e]+$/)
    expect(JSON.parse(text)).toBe('\u202e\u2028\u200b\ufeff\u007f\u0085\u00ad')
  })
})

describe('on a machine with SELinux', () => {
  it('every folder that is mounted is labelled for containers, and nothing else changes', () => {
    const of = (isLabelled: boolean) =>
      plain(composition({ ...FULL, posture: 'coding' }, IMAGES, USER, profilesOf(FULL), isLabelled))
    const [without, labelled] = [JSON.stringify(of(false)), JSON.stringify(of(true))]
    const mounts = without.split('"create_host_path":false').length - 1
    expect(mounts).toBe(7)
    expect(labelled.split('"create_host_path":false,"selinux":"z"').length - 1).toBe(mounts)
    expect(labelled.replaceAll(',"selinux":"z"', '')).toBe(without)
  })
})

describe('rendering', () => {
  const compose = planned(FULL)
  const values = {
    ...compose,
    ...compose.services,
    gateway: compose.services['openclaw-gateway'],
    closed: true,
    coding: false,
  }

  it('fails on a value that is missing', () => {
    expect(() => render('Dockerfile.hbs', { base: 'node:24' }, 'text')).toThrow(/package/)
    expect(() => render('docker-compose.yml.hbs', { ...values, gateway: {} }, 'yaml', compose)).toThrow()
    expect(() => render('openclaw.json.hbs', {}, 'json', {})).toThrow()
  })

  const differences: Record<string, object> = {
    'a key too many': { ...compose, extra: 1 },
    'a key too few': { name: compose.name, services: compose.services },
    'another value': { ...compose, name: 'other' },
    'another type': {
      ...compose,
      services: { ...compose.services, 'openclaw-gateway': { ...values.gateway, pids_limit: '256' } },
    },
    'another order in a list': {
      ...compose,
      services: {
        ...compose.services,
        'openclaw-gateway': { ...values.gateway, tmpfs: values.gateway.tmpfs.toReversed() },
      },
    },
  }
  for (const [what, structure] of Object.entries(differences))
    it(`refuses a result that differs from its plan by ${what}`, () => {
      expect(() => render('docker-compose.yml.hbs', values, 'yaml', structure)).toThrow(
        expect.objectContaining({ code: 'render_mismatch' }),
      )
    })

  it('refuses a result that is no YAML or JSON at all, as a mismatch too', () => {
    for (const syntax of ['yaml', 'json'] as const) {
      const attempt = () =>
        render('Dockerfile.hbs', { base: '{"a": [', package: '\n\t- : x' }, syntax, { a: 1 })
      expect(attempt).toThrow(ToolError)
      expect(attempt).toThrow(expect.objectContaining({ code: 'render_mismatch' }))
    }
  })

  it('refuses aliases and a key twice in what it reads back', () => {
    const readBack = (base: string, structure: object) => () =>
      render('Dockerfile.hbs', { base, package: '' }, 'yaml', structure)
    expect(readBack('\na: &x 1\nb: *x', { a: 1, b: 1 })).toThrow(
      expect.objectContaining({ code: 'render_mismatch' }),
    )
    expect(readBack('\na: 1\na: 1', { a: 1 })).toThrow(expect.objectContaining({ code: 'render_mismatch' }))
  })

  it('never runs a value as a template', () => {
    expect(render('Dockerfile.hbs', { base: '{{package}}{{> x}}', package: 'openclaw@1' }, 'text')).toContain(
      'FROM {{package}}{{> x}}\n',
    )
  })
})

describe('the plan of a deployment', () => {
  it('is the same for the same input', () => {
    expect(planOf(FULL)).toEqual(benign)
  })

  it('keeps everybody else out of what is the gateway’s', () => {
    expect(benign.files.find(file => file.path === 'config/openclaw.json')).toMatchObject({
      mode: 0o400,
      owner: 'gateway',
    })
    for (const path of ['secrets', 'state', 'config'])
      expect(benign.directories.find(directory => directory.path === path)).toEqual({
        path,
        mode: 0o700,
        owner: 'gateway',
      })
    for (const path of ['', '.secure', '.secure/store', '.secure/base', 'cases'])
      expect(benign.directories.find(directory => directory.path === path)).toEqual({
        path,
        mode: 0o700,
        owner: 'person',
      })
  })

  it('stays inside its folder and names every file once', () => {
    const paths = [
      ...benign.files.map(file => file.path),
      ...benign.directories.map(directory => directory.path),
    ]
    expect(new Set(paths).size).toBe(paths.length)
    for (const path of paths) expect(path).not.toMatch(/^\/|\.\./)
  })

  it('has a Dockerfile only when it is built, and an nginx site only behind nginx', () => {
    const paths = (answers: Answers) => planOf(answers).files.map(file => file.path)
    expect(paths(FULL)).toEqual(expect.arrayContaining(['Dockerfile', 'proxy/nginx.conf']))
    expect(paths(ANSWERS)).not.toContain('Dockerfile')
    expect(paths(ANSWERS)).not.toContain('proxy/nginx.conf')
  })

  it('keeps secrets, state, journal and evidence out of version control', () => {
    for (const path of ['/secrets/', '/state/', '/.secure/', '/cases/', '/proxy/htpasswd'])
      expect(verbatim('gitignore.hbs').split('\n')).toContain(path)
  })

  it('shows a person’s text in the runbook, and never as markup', () => {
    const text = fileOf(
      planOf({ ...FULL, contact: '**x** [a](http://b) <script> `id`' }),
      'runbooks/README.md',
    )
    expect(text).toContain('\\*\\*x\\*\\* \\[a\\]\\(http://b\\) \\<script\\> \\`id\\`')
    expect(fileOf(planOf({ ...FULL, contact: '' }), 'runbooks/README.md')).toContain('--contact')
  })

  it('has the runbooks in it, each naming who is called first, whatever the name', () => {
    fc.assert(
      fc.property(fc.constantFrom(...RUNBOOKS), anyAnswers, (id, answers) => {
        const file = some(planOf(answers).files.find(({ path }) => path === `runbooks/${id}.yaml`))
        const contacts = answers.contact.trim() === '' ? [] : [answers.contact]
        expect(parse(file.content)).toEqual({ ...parse(runbook(id, '')), contacts })
        expect(file).toMatchObject({ adaptable: true, mode: 0o644, owner: 'person' })
      }),
      { numRuns: 20 },
    )
  })

  it('has the schema that its runbooks name, so that an editor helps', () => {
    const files = planOf(ANSWERS).files.filter(({ path }) => path.startsWith('runbooks/'))
    const named = files.flatMap(({ content }) => /\$schema=\.\/(\S+)/.exec(content)?.[1] ?? [])
    expect(named).toEqual(['runbook.schema.json', 'runbook.schema.json'])
    expect(files.map(({ path }) => path)).toContain('runbooks/runbook.schema.json')
  })

  it('names every container to the person who has to do without the tool, the gateway first', () => {
    const text = fileOf(planOf({ ...FULL, posture: 'coding', egress: 'closed' }), 'runbooks/README.md')
    const containers = /^all="(.*)"$/m.exec(text)?.[1]?.split(' ') ?? []
    expect(containers[0]).toBe(`${FULL.name}-openclaw-gateway-1`)
    expect(containers.slice(1).sort()).toEqual(
      ['egress', 'ingress', 'sandbox'].map(service => `${FULL.name}-${service}-1`),
    )
  })

  it('has the exact ssh line of who asked for a tunnel, and none otherwise', () => {
    expect(sshTunnel({ access: 'ssh', port: 2000, sshTarget: 'me@host.example:2222' })).toBe(
      'ssh -N -L 2000:127.0.0.1:2000 -p 2222 me@host.example',
    )
    expect(sshTunnel({ access: 'ssh', port: 2000, sshTarget: 'me@host.example' })).toBe(
      'ssh -N -L 2000:127.0.0.1:2000 me@host.example',
    )
    expect(sshTunnel({ access: 'loopback', port: 2000, sshTarget: 'me@host.example' })).toBeUndefined()
  })
})

describe('no valid answer weakens', () => {
  it('the container', () => {
    fc.assert(
      fc.property(anyAnswers, answers => {
        const { services, networks } = planned(answers)
        const service = services['openclaw-gateway']
        expect(service).toMatchObject({
          user: '1000:1000',
          read_only: true,
          cap_drop: ['ALL'],
          security_opt: [
            'no-new-privileges:true',
            ...(answers.seccomp === 'fitted' ? ['seccomp:./seccomp-profile.json'] : []),
            ...(answers.apparmor ? [`apparmor:create-openclaw-secure-${answers.name}`] : []),
          ],
          oom_score_adj: 500,
          ulimits: { core: 0, fsize: answers.stateLimit * 1024 ** 2 },
          pids_limit: answers.pids,
          mem_limit: `${answers.memory}m`,
          memswap_limit: `${answers.memory}m`,
          cpus: answers.cpus,
          pull_policy: 'never',
        })
        expect(services.ingress.ports).toEqual([`127.0.0.1:${answers.port}:18789`])
        for (const key of [
          'ports',
          'privileged',
          'cap_add',
          'devices',
          'pid',
          'network_mode',
          'env_file',
          'userns_mode',
          'extra_hosts',
        ])
          expect(service).not.toHaveProperty(key)
        // The engine's socket, for whoever insists on it, and then for nobody but the gateway.
        expect(service.group_add).toEqual(hasSocket(answers) ? ['998'] : undefined)
        const { [SERVICE]: _, ...beside } = services
        expect(JSON.stringify(beside)).not.toContain('docker.sock')
        expect(service.volumes.map(volume => `${volume.source} ${volume.read_only}`)).toEqual([
          './config true',
          './secrets true',
          './state false',
          ...(hasSocket(answers) ? ['/var/run/docker.sock true'] : []),
        ])
        for (const mount of service.tmpfs) expect(mount).toMatch(/noexec,nosuid,nodev/)
        expect(networks.inside).toMatchObject({ internal: true })
        expect(service.networks).toEqual([
          'inside',
          ...(answers.egress === 'closed' ? [] : ['outside']),
          ...(hasSandbox(answers) ? ['sandbox'] : []),
        ])
        expect(Object.keys(services)).toEqual([
          'openclaw-gateway',
          'ingress',
          ...(answers.egress === 'closed' ? ['egress'] : []),
          ...(hasSandbox(answers) ? ['sandbox'] : []),
        ])
      }),
      { numRuns: 60 },
    )
  })

  it('the policy', () => {
    fc.assert(
      fc.property(anyAnswers, answers => {
        const secrets = secretNamesOf(answers).map(name => ({ name, rotationId: 'abcd' }))
        const policy = gatewayPolicy(answers, secrets)
        expect(policy.gateway.auth).toMatchObject({
          mode: 'token',
          token: { source: 'file', provider: GATEWAY_TOKEN, id: 'value' },
        })
        expect(policy.tools).toMatchObject({
          fs: { workspaceOnly: true },
          exec: { mode: answers.posture === 'coding' ? 'allowlist' : 'deny', strictInlineEval: true },
          elevated: { enabled: false },
        })
        const denied = answers.posture === 'coding' ? ['sessions_spawn'] : ['group:runtime']
        expect(policy.tools.deny).toEqual(expect.arrayContaining(['group:automation', ...denied]))
        expect(policy.agents.defaults.sandbox.mode).toBe(answers.posture === 'coding' ? 'all' : 'off')
        expect(policy.secrets.providers).toMatchObject({ default: { source: 'env', allowlist: [] } })
        expect(policy.logging.audit.enabled).toBe(true)
        expect(JSON.stringify(policy.gateway.controlUi.allowedOrigins)).not.toContain('*')
      }),
      { numRuns: 60 },
    )
  })
})

describe('openclaw.json', () => {
  /** The seed's keys that OpenClaw does not know: with any of them the gateway does not start, or seems safe and is not. */
  const INVENTED = [
    'security',
    'filesystem',
    'policy',
    'allowedPaths',
    'deniedPaths',
    'vault',
    'shell',
    'deniedCommands',
    'deniedPatterns',
    'auditEvents',
  ]
  const everyProviders: Answers['providers'][] = [
    [],
    [{ id: 'openai' }],
    [{ id: 'anthropic' }],
    [{ id: 'openai' }, { id: 'anthropic' }],
    [{ id: 'mine', url: 'https://llm.example/v1' }],
    FULL.providers,
  ]

  for (const posture of ['chat', 'workspace'] as const)
    it(`of a ${posture} agent has none of the seed’s invented keys, and refers to every key by file`, () => {
      for (const [index, providers] of everyProviders.entries()) {
        const custom = providers.find(provider => provider.url !== undefined)
        const access = (['loopback', 'ssh', 'proxy'] as const)[index % 3] ?? 'loopback'
        const answers: Answers = {
          ...FULL,
          posture,
          providers,
          access,
          sshTarget: 'a@b',
          model: custom === undefined ? '' : 'mine/big-1',
        }
        const policy = parseCommentedJson(fileOf(planOf(answers), 'config/openclaw.json'))
        const keys = keysOf(policy).map(path => path.split('/').at(-1))
        expect(keys.filter(key => INVENTED.includes(String(key)))).toEqual([])
        for (const provider of providers)
          expect(policy).toHaveProperty(['models', 'providers', provider.id, 'apiKey'], {
            source: 'file',
            provider: keySecretOf(provider),
            id: 'value',
          })
        expect(keys).not.toContain('env')
      }
    })

  it('has no place but the sandbox for the commands of an agent that may run some', () => {
    const policy = parseCommentedJson(fileOf(planOf({ ...FULL, posture: 'coding' }), 'config/openclaw.json'))
    expect(policy).toMatchObject({
      agents: { defaults: { sandbox: { mode: 'all', backend: 'ssh' } } },
      tools: { exec: { host: 'sandbox' }, elevated: { enabled: false } },
    })
  })

  it('has the engine make its sandboxes for whoever insists, each as confined as the one of our own', () => {
    const answers: Answers = { ...FULL, posture: 'coding', agentSandbox: 'docker', agentPrograms: ['git'] }
    const plan = planOf(answers)
    const policy = parseCommentedJson(fileOf(plan, 'config/openclaw.json'))
    expect(policy).toMatchObject({
      agents: {
        defaults: {
          sandbox: {
            ...{ mode: 'all', backend: 'docker', scope: 'session', workspaceAccess: 'none' },
            docker: {
              ...{
                image: sandboxRecipe(answers).label,
                network: 'none',
                readOnlyRoot: true,
                capDrop: ['ALL'],
              },
              ...{ pidsLimit: 256, memory: '1024m', memorySwap: '2048m', cpus: 1 },
              seccompProfile: '/etc/openclaw/seccomp-profile.json',
            },
          },
        },
      },
      tools: { exec: { host: 'sandbox' }, elevated: { enabled: false } },
    })
    // What the gateway's Docker client is told to read lies there, and no key of a sandbox that is not there.
    expect(fileOf(plan, 'config/seccomp-profile.json')).toBe(fileOf(plan, 'seccomp-profile.json'))
    expect(allSecretNamesOf(answers).filter(name => name.startsWith('sandbox_'))).toEqual([])
    expect(plan.directories.filter(({ path }) => path.startsWith('sandbox'))).toEqual([])
    expect(fileOf(plan, 'docker-compose.yml')).toContain('root on this machine')
    expect(fileOf(planOf(FULL), 'docker-compose.yml')).not.toContain('docker.sock')
  })

  it('may hold comments, and only as whole lines, so that no value is mistaken for one', () => {
    expect(parseCommentedJson('{\n  // "a": 2,\n  "b": "// c"\n}')).toEqual({ b: '// c' })
    expect(() => parseCommentedJson('{"a": 1 // no\n}')).toThrow()
  })
})
