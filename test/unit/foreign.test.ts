import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { type ContainerFacts, Docker } from '../../src/docker/engine.ts'
import type { Finished, ProcessRunner } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import { Redactor } from '../../src/secret.ts'
import {
  type ForeignSources,
  findForeign,
  foreignFiles,
  looksLikeDeployment,
} from '../../steps/verify/foreign.ts'
import { NotApplicable } from '../../steps/verify/world.ts'
import { container } from './container.ts'
import { scratch, some, thrown } from './support.ts'

const TOKEN = '3b1f0c9d8e7a6b5c4d3e2f1a0b9c8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f3a2b1c'
const OTHER = 'd41d8cd98f00b204e9800998ecf8427ed41d8cd98f00b204e9800998ecf8427e'

/** A folder with these files. */
function folder(files: Record<string, string>): string {
  const root = scratch()
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
  }
  return root
}

const failed: Finished = { code: 1, stdout: '', stderr: 'no configuration file provided' }
const said = (stdout: string): Finished => ({ code: 0, stdout, stderr: '' })

interface Engine {
  /** What `docker compose config` says. */
  config?: Finished | Error
  /** What a program in the container prints. */
  exec?: Finished
  containers?: ContainerFacts[]
  /** What `docker ps` says instead of the containers' ids. */
  ps?: Finished
}

/** An engine as told, and what it was asked. */
function engine({ config = failed, exec = failed, containers = [], ps }: Engine) {
  const asked: (readonly string[])[] = []
  const run: ProcessRunner = async (file, args) => {
    asked.push([file, ...args])
    if (args[0] === 'compose') {
      if (config instanceof Error) throw config
      return config
    }
    if (args[0] === 'exec') return exec
    if (args[0] === 'ps') return ps ?? said(`${containers.map(one => one.Id).join('\n')}\n`)
    const found = containers.find(one => [one.Id, one.Name.slice(1)].includes(some(args.at(-1))))
    return found === undefined
      ? { code: 1, stdout: '[]', stderr: 'Error: No such container: x' }
      : said(JSON.stringify([found]))
  }
  return { run, docker: new Docker(run), asked }
}

function sourcesOf(directory: string, made: Engine, container?: string) {
  const { run, docker, asked } = engine(made)
  const redactor = new Redactor()
  const sources: ForeignSources = {
    directory,
    container,
    docker,
    searching: docker,
    run,
    redactor,
    now: new Date('2026-11-24T01:40:00Z'),
  }
  return { sources, redactor, asked }
}

/** The files of a folder, where these containers run, the first of which belongs to it. */
function filesOf(files: Record<string, string>, made: Engine = {}) {
  const directory = folder(files)
  const { sources, redactor, asked } = sourcesOf(directory, made)
  return { world: foreignFiles(sources, async () => made.containers?.[0]), directory, redactor, asked }
}

const withEnv = (...Env: string[]): ContainerFacts => ({
  ...container(),
  Mounts: [],
  Config: { ...container().Config, Env },
})

describe('a folder that could be a deployment', () => {
  it.each([
    ...['compose.yaml', 'compose.yml', 'docker-compose.yaml', 'docker-compose.yml'],
    ...['config/openclaw.json', 'openclaw.json', '.openclaw/openclaw.json', 'state/openclaw.json'],
  ])('has a %s', name => {
    expect(looksLikeDeployment(folder({ [name]: '' }))).toBe(true)
  })

  it('is no other folder', () => {
    expect(looksLikeDeployment(folder({ 'README.md': '', 'sub/compose.yaml': '' }))).toBe(false)
    expect(looksLikeDeployment(join(scratch(), 'not-there'))).toBe(false)
  })
})

describe('the container of a folder', () => {
  const labelled = (directory: string, service: string, Image = 'x'): ContainerFacts => ({
    ...container(),
    Id: service,
    Name: `/${service}`,
    Mounts: [],
    Config: {
      ...container().Config,
      Image,
      Labels: {
        'com.docker.compose.project.working_dir': directory,
        'com.docker.compose.service': service,
      },
    },
  })
  const find = (directory: string, containers: ContainerFacts[], name?: string) =>
    findForeign(sourcesOf(directory, { containers }, name).sources)()

  it('is the one that was named, whatever else there is', async () => {
    expect(
      await find('/srv/x', [labelled('/srv/x', 'openclaw-gateway'), container()], 'c0ffee'),
    ).toMatchObject({
      Id: 'c0ffee',
    })
    expect(
      await thrown(() => find('/srv/x', [labelled('/srv/x', 'openclaw-gateway')], 'mistyped')),
    ).toMatchObject({ code: 'no_container', message: 'there is no container mistyped' })
  })

  it('is the gateway of the folder’s Compose project, else the one with OpenClaw’s image, else the first', async () => {
    const [db, claw, gateway] = [
      labelled('/srv/x', 'db'),
      labelled('/srv/x', 'claw', 'ghcr.io/openclaw/openclaw'),
      labelled('/srv/x', 'openclaw-gateway'),
    ]
    expect(await find('/srv/x', [db, claw, gateway])).toMatchObject({ Id: 'openclaw-gateway' })
    expect(await find('/srv/x', [db, claw])).toMatchObject({ Id: 'claw' })
    expect(await find('/srv/x', [db])).toMatchObject({ Id: 'db' })
  })

  it('is otherwise one that mounts something of the folder', async () => {
    const mounting = (Source: string) => ({
      ...container(),
      Mounts: [{ Type: 'bind', Source, Destination: '/d', RW: true }],
    })
    expect(await find('/srv/x', [mounting('/srv/x/state')])).toMatchObject({ Id: 'c0ffee' })
    expect(await find('/srv/x', [mounting('/srv/x')])).toMatchObject({ Id: 'c0ffee' })
    expect(await find('/srv/x', [mounting('/srv/xyz')])).toBeUndefined()
  })

  it('is none of another folder', async () => {
    expect(await find('/srv/x', [labelled('/srv/y', 'openclaw-gateway')])).toBeUndefined()
    expect(await find('/srv/x', [])).toBeUndefined()
  })

  it('cannot be known where the engine does not answer', async () => {
    const ps = { code: 1, stdout: '', stderr: 'Cannot connect to the Docker daemon\n' }
    expect(await thrown(findForeign(sourcesOf('/srv/x', { ps }).sources))).toMatchObject({
      code: 'engine_unreachable',
      message: 'the Docker engine does not answer: Cannot connect to the Docker daemon',
    })
  })

  it('is looked for once, however many ask', async () => {
    const { sources, asked } = sourcesOf('/srv/x', { containers: [container()] })
    const find = findForeign(sources)
    await Promise.all([find(), find(), find()])
    expect(asked.filter(args => args[1] === 'ps')).toHaveLength(1)
  })
})

describe('the gateway token of a foreign deployment', () => {
  const COMPOSE = 'services: {openclaw-gateway: {image: openclaw, environment: {A: b}}}'
  const tokenOf = async (files: Record<string, string>, made: Engine = {}) =>
    (await filesOf(files, made).world.token()).expose()

  it.each([
    ['plain', `OPENCLAW_GATEWAY_TOKEN=${TOKEN}`],
    ['quoted', `OPENCLAW_GATEWAY_TOKEN="${TOKEN}"`],
    ['in single quotes', `OPENCLAW_GATEWAY_TOKEN='${TOKEN}'`],
    ['exported, among others', `# mine\nA=b\n  export OPENCLAW_GATEWAY_TOKEN=${TOKEN}  \r\nC=d\n`],
  ])('is in .env, %s', async (_, text) => {
    expect(await tokenOf({ '.env': text, 'compose.yaml': COMPOSE })).toBe(TOKEN)
  })

  it('is in the environment of the Compose file, as a mapping or a list', async () => {
    const mapping = `services: {gw: {environment: {OPENCLAW_GATEWAY_TOKEN: ${TOKEN}}}}`
    const list = `services: {gw: {environment: ["OPENCLAW_GATEWAY_TOKEN=${TOKEN}"]}}`
    expect(await tokenOf({ 'compose.yaml': mapping })).toBe(TOKEN)
    expect(await tokenOf({ 'docker-compose.yml': list })).toBe(TOKEN)
  })

  it('is what Compose makes of a variable', async () => {
    const resolved = { services: { gw: { environment: { OPENCLAW_GATEWAY_TOKEN: TOKEN } } } }
    const written = 'services: {gw: {environment: {OPENCLAW_GATEWAY_TOKEN: "${SOMEWHERE}"}}}'
    expect(await tokenOf({ 'compose.yaml': written }, { config: said(JSON.stringify(resolved)) })).toBe(TOKEN)
  })

  it('is found in .env where Compose cannot resolve the variable that names it', async () => {
    const files = {
      '.env': `OPENCLAW_GATEWAY_TOKEN=${TOKEN}`,
      'compose.yaml': 'services: {gw: {environment: {OPENCLAW_GATEWAY_TOKEN: "${OPENCLAW_GATEWAY_TOKEN}"}}}',
    }
    expect(await tokenOf(files)).toBe(TOKEN)
  })

  it('is found in .env where the Compose file only passes the variable on', async () => {
    const files = {
      '.env': `OPENCLAW_GATEWAY_TOKEN=${TOKEN}`,
      'compose.yaml': 'services: {gw: {environment: [OPENCLAW_GATEWAY_TOKEN]}}',
    }
    expect(await tokenOf(files)).toBe(TOKEN)
  })

  it('is in openclaw.json, which OpenClaw’s own dialect may be', async () => {
    const policy = `// mine
      { gateway: { auth: { mode: 'token', /* the token */ token: '${TOKEN}', }, }, }`
    for (const path of ['openclaw.json', 'config/openclaw.json', '.openclaw/openclaw.json'])
      expect(await tokenOf({ [path]: policy })).toBe(TOKEN)
  })

  it('is the literal, which wins over every other', async () => {
    const files = {
      '.env': `OPENCLAW_GATEWAY_TOKEN=${OTHER}`,
      'openclaw.json': `{"gateway":{"auth":{"token":"${TOKEN}"}}}`,
    }
    expect(await tokenOf(files)).toBe(TOKEN)
  })

  it('is in the environment of the running container, which is what is in force', async () => {
    const running = withEnv('PATH=/bin', `OPENCLAW_GATEWAY_TOKEN=${TOKEN}`)
    expect(await tokenOf({}, { containers: [running] })).toBe(TOKEN)
    const files = { '.env': `OPENCLAW_GATEWAY_TOKEN=${OTHER}` }
    expect(await tokenOf(files, { containers: [running] })).toBe(TOKEN)
  })

  it('is no path, no variable, and nothing', async () => {
    for (const value of ['/run/secrets/token', '$TOKEN', '""', ''])
      expect(await thrown(() => tokenOf({ '.env': `OPENCLAW_GATEWAY_TOKEN=${value}` }))).toMatchObject({
        code: 'no_token',
      })
  })

  it('is learnt, and so are all other credentials: none shows in what is printed later', async () => {
    const { world, redactor } = filesOf({
      '.env': `OPENCLAW_GATEWAY_TOKEN=${TOKEN}\nOPENAI_API_KEY=${OTHER}\nTZ=UTC`,
    })
    expect([...(await world.secrets()).keys()].sort()).toEqual(['OPENAI_API_KEY', 'gateway_token'])
    expect(redactor.clean(`${TOKEN} ${OTHER} UTC`)).toBe('[secret] [secret] UTC')
  })
})

describe('the Compose file of a foreign deployment', () => {
  const written = 'services: {gw: {image: "openclaw:${TAG:-latest}", ports: ["${HOST:-127.0.0.1}:1:1"]}}'

  it('is read as Compose understands it', async () => {
    const resolved = {
      services: { gw: { image: 'openclaw:1', ports: [{ host_ip: '127.0.0.1', target: 1 }] } },
    }
    const { world, directory, asked } = filesOf(
      { 'docker-compose.yml': written },
      { config: said(JSON.stringify(resolved)) },
    )
    expect(await world.service()).toMatchObject({ image: 'openclaw:1', ports: [{ address: '127.0.0.1' }] })
    expect(asked[0]).toEqual([
      ...['docker', 'compose', '--project-directory', directory, 'config'],
      ...['--format', 'json', '--no-path-resolution'],
    ])
  })

  it.each<[string, Finished | Error]>([
    ['says no', failed],
    ['says something else', said('name: gw')],
    ['is not installed', new ToolError('program_missing', 'docker is not installed', '')],
    ['does not answer', new ToolError('deadline', 'docker did not finish', '')],
  ])('is read as it is written where Compose %s, and a variable is no address', async (_, config) => {
    const { world } = filesOf({ 'docker-compose.yml': written }, { config })
    const service = await world.service()
    expect(service.image).toBe('openclaw:${TAG:-latest}')
    expect(service.ports[0]?.address).not.toBe('127.0.0.1')
  })

  it('that includes others is read as it is written: an included file may lie on another machine', async () => {
    const { world, asked } = filesOf({
      'compose.yaml': 'include: [oci://registry.example/x]\nservices: {gw: {image: openclaw}}',
    })
    expect(await world.service()).toMatchObject({ image: 'openclaw' })
    expect(asked).toEqual([])
  })

  it('is the first of the names that Compose looks for', async () => {
    const of = (image: string) => `services: {gw: {image: ${image}}}`
    const { world } = filesOf({ 'docker-compose.yml': of('b'), 'compose.yaml': of('a') })
    expect(await world.service()).toMatchObject({ image: 'a' })
  })

  it('that is not there is no error: the container itself is judged', async () => {
    const { world } = filesOf({ 'openclaw.json': '{}' })
    for (const ask of [world.service, world.profile]) expect(await thrown(ask)).toBeInstanceOf(NotApplicable)
  })

  it('without a gateway is an error that names the file', async () => {
    const { world } = filesOf({ 'compose.yml': 'services: {a: {image: x}, b: {image: y}}' })
    expect((await thrown(world.service)).message).toBe('compose.yml has no service that could be the gateway')
  })

  it('names the profile by its place in the folder', async () => {
    const { world } = filesOf({
      'compose.yaml': 'services: {gw: {security_opt: ["seccomp:./profile.json"]}}',
      'profile.json': '{"defaultAction":"SCMP_ACT_ERRNO"}',
    })
    expect(await world.profile()).toBe('{"defaultAction":"SCMP_ACT_ERRNO"}')
    const none = filesOf({ 'compose.yaml': 'services: {gw: {security_opt: ["seccomp:unconfined"]}}' })
    expect(await none.world.profile()).toBeUndefined()
  })

  it('with nested aliases without end is refused at once', async () => {
    const bomb = ['b', 'c', 'd', 'e', 'f', 'g', 'h'].reduce(
      (text, name, index) =>
        `${text}${name}: &${name} [${Array(9).fill(`*${'abcdefg'[index]}`).join(', ')}]\n`,
      `a: &a [${Array(9).fill('x').join(', ')}]\n`,
    )
    const began = performance.now()
    await thrown(filesOf({ 'compose.yaml': `${bomb}services: {gw: {image: x}}` }).world.service)
    expect(performance.now() - began).toBeLessThan(20_000)
  })
})

describe('the openclaw.json of a foreign deployment', () => {
  it('is in the folder, in a folder that the container mounts, or in the container', async () => {
    const mounted = folder({ 'openclaw.json': '{b: 1}' })
    const mounts = [{ Type: 'bind', Source: mounted, Destination: '/d', RW: true }]
    const containers = [{ ...container(), Mounts: mounts }]
    expect(await filesOf({ 'openclaw.json': '{a: 1}' }, { containers }).world.policy()).toEqual({ a: 1 })
    expect(await filesOf({}, { containers }).world.policy()).toEqual({ b: 1 })
    const inside = filesOf({}, { containers: [withEnv()], exec: said('{c: 1,}') })
    expect(await inside.world.policy()).toEqual({ c: 1 })
    expect(inside.asked.map(args => args[1])).toEqual(['exec'])
  })

  it('of a stopped container cannot be looked at', async () => {
    const stopped = { ...withEnv(), State: { ...container().State, Running: false } }
    const { world, asked } = filesOf({}, { containers: [stopped], exec: said('{}') })
    expect(await thrown(world.policy)).toMatchObject({ code: 'no_policy' })
    expect(asked).toEqual([])
  })

  it('that is nowhere is an error that says where it was looked for', async () => {
    expect(await thrown(filesOf({}).world.policy)).toMatchObject({
      code: 'no_policy',
      message: expect.stringContaining('neither in this folder nor in a container'),
    })
  })

  it('that is a folder is none', async () => {
    expect(await thrown(filesOf({ 'openclaw.json/x': '' }).world.policy)).toMatchObject({ code: 'no_policy' })
  })
})

describe('the errors of a foreign deployment', () => {
  it.each([
    ['a Compose file that is no YAML', { 'compose.yaml': `services:\n  gw:\n    TOKEN: "${TOKEN}\n` }],
    [
      'a Compose file with a key twice',
      { 'compose.yaml': `services: {gw: {TOKEN: ${TOKEN}, TOKEN: ${TOKEN}}}` },
    ],
    ['an openclaw.json that is none', { 'openclaw.json': `{gateway: {auth: {token: ${TOKEN}}}}` }],
    ['an openclaw.json that ends early', { 'openclaw.json': `{gateway: {auth: {token: "${TOKEN}"` }],
  ])('of %s show no secret', async (_, files) => {
    const { world } = filesOf(files)
    const errors = await Promise.all(
      [world.service, world.policy, world.token, world.profile].map(ask =>
        thrown(async () => {
          await ask()
          throw new Error('it was read')
        }),
      ),
    )
    for (const error of errors) {
      expect(String(error)).not.toContain(TOKEN.slice(0, 16))
      expect(JSON.stringify(error)).not.toContain(TOKEN.slice(0, 16))
    }
  })

  it('of one source do not keep the secrets of another from being found', async () => {
    const { world } = filesOf({
      'compose.yaml': 'services: {gw: {image: "x}}',
      'openclaw.json': '{',
      '.env': `OPENCLAW_GATEWAY_TOKEN=${TOKEN}`,
    })
    expect((await world.token()).expose()).toBe(TOKEN)
  })
})

describe('what a foreign deployment has not', () => {
  it('is nothing of this tool’s own: no answers, no store, no journal, no accepted failures', async () => {
    const { world } = filesOf({ 'compose.yaml': 'services: {gw: {image: x}}' })
    expect(world.own).toBeUndefined()
    expect(world.suppressions).toEqual([])
    expect(await world.stored('gateway_token')).toBeUndefined()
    expect(world.journal()).toEqual([])
    expect(world.chain()).toEqual({ intact: true, events: 0 })
  })
})
