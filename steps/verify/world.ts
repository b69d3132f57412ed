import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { resolve } from 'node:path'
import { parse } from 'yaml'
import type { Answers } from '../../src/deployment/answers.ts'
import { lookAt, repositoryAbove } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import { bridgeNetwork } from '../../src/deployment/network.ts'
import { parseCommentedJson } from '../../src/deployment/render.ts'
import { Compose } from '../../src/docker/compose.ts'
import { type ContainerFacts, type Docker, type EngineInfo, publishes } from '../../src/docker/engine.ts'
import { NeighbourRule } from '../../src/docker/firewall.ts'
import type { Finished, ProcessRunner } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import { type Audits, audits } from '../../src/gateway/judges.ts'
import { GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { AUTH_PATH, askFromHost, askFromInside, type Status } from '../../src/gateway/probe.ts'
import type { ChainState, Journal, JournalEvent } from '../../src/procedure/journal.ts'
import type { Secret } from '../../src/secret.ts'
import type { SecretStore } from '../../src/stores/store.ts'

/** One process of the container, from /proc/PID/status. `caps` are the five capability sets, hexadecimal. */
export interface ProcessFacts {
  pid: number
  name: string
  uid: number
  caps: string[]
  noNewPrivs: number
  seccomp: number
}

/** What the control groups of the container enforce, in bytes, processes and CPUs; undefined: no limit. */
export interface CgroupLimits {
  version: 1 | 2
  memory: number | undefined
  pids: number | undefined
  cpus: number | undefined
}

/**
 * Everything checks look at. Each source is read at most once, when the first check asks; a source that cannot be read
 * throws, and the check that asked is `unknown`. A sabotaged world is this one with a source replaced.
 */
export interface World {
  layout: Layout
  answers: Answers
  token(): Promise<Secret>
  file(
    path: string,
  ): { mode: number; uid: number; links: number; kind: 'file' | 'folder' | 'other' } | undefined
  text(path: string): Promise<string>
  names(folder: string): string[]
  policy(): Promise<Record<string, unknown>>
  composition(): Promise<Record<string, unknown>>
  journal(): JournalEvent[]
  chain(): ChainState
  tracked(): Promise<string[] | 'no repository'>
  engine(): Promise<EngineInfo>
  container(): Promise<ContainerFacts>
  processes(): Promise<ProcessFacts[]>
  cgroup(): Promise<CgroupLimits>
  inside(script: string): Promise<Finished>
  searchProc(): Promise<{ environ: number; cmdline: number; searched: number }>
  audits(): Promise<Audits>
  askHost(token: 'none' | 'right'): Promise<Status>
  askWrong(): Promise<Status>
  addresses(): string[]
  reach(address: string, port: number): Promise<'open' | 'refused' | 'silent'>
  neighbourRule(): Promise<boolean>
  logs(): Promise<string>
}

export interface WorldSources {
  layout: Layout
  answers: Answers
  docker: Docker
  /** Redacts nothing, so that a secret in what it returns can be found. The judge cleans every finding. */
  searching: Docker
  compose: Compose
  run: ProcessRunner
  store: SecretStore
  journal: Journal
  wrongToken: Secret
}

/** The world as it is. */
export function realWorld(sources: WorldSources): World {
  const { layout, answers, docker, searching, compose, run, store } = sources
  const container = once(async () => {
    const id = await compose.containerId()
    const found = id === undefined ? undefined : await searching.container(id)
    if (found === undefined)
      throw new ToolError(
        'no_container',
        'there is no gateway container',
        'Start it: create-openclaw-secure .',
      )
    if (!found.State.Running)
      throw new ToolError(
        'gateway_stopped',
        `the gateway container is ${found.State.Status}`,
        'Start it: create-openclaw-secure .',
      )
    if (found.State.Paused)
      throw new ToolError(
        'gateway_paused',
        'the gateway container is paused',
        'docker unpause it, unless an incident is being looked into.',
      )
    return found
  })
  const token = once(async () => {
    const value = (await store.load(GATEWAY_TOKEN))?.current?.value
    if (value === undefined)
      throw new ToolError('no_token', 'the store has no gateway token', 'Run create-openclaw-secure . again.')
    return value
  })
  const inside = async (script: string) =>
    docker.exec((await container()).Id, ['node', '-e', script], { deadline: 30_000 })
  return {
    layout,
    answers,
    token,
    file(path) {
      const found = lookAt(path)
      if (found === undefined) return undefined
      const kind = found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other'
      return { mode: Number(found.mode) & 0o7777, uid: Number(found.uid), links: Number(found.nlink), kind }
    },
    text: async path => readFileSync(path, 'utf8'),
    names: folder => readdirSync(folder),
    policy: once(async () => record(parseCommentedJson(readFileSync(layout.configFile, 'utf8')))),
    composition: once(async () => record(parse(readFileSync(layout.compose, 'utf8')))),
    journal: () => sources.journal.read(),
    chain: () => sources.journal.verifyChain(),
    tracked: once(async () => {
      // Looked for here first: a machine without git has no repository either.
      if (repositoryAbove(layout.root) === undefined) return 'no repository'
      const { code, stdout, stderr } = await run('git', ['-C', layout.root, 'ls-files'], { deadline: 15_000 })
      if (code === 0) return stdout.split('\n').filter(line => line !== '')
      throw new ToolError(
        'git_unknown',
        `git could not say: ${stderr.trim().split('\n')[0] ?? ''}`,
        'Run git ls-files in the deployment folder.',
      )
    }),
    engine: once(() => docker.info()),
    container,
    processes: once(async () => readProcesses(await inside(PROCESSES))),
    cgroup: once(async () => readCgroup(await inside(CGROUP))),
    inside,
    searchProc: once(async () => {
      const { code, stdout } = await docker.exec((await container()).Id, ['node', '-e', SEARCH_PROC], {
        input: await token(),
        deadline: 30_000,
      })
      if (code !== 0)
        throw new ToolError(
          'exec_failed',
          'the search in /proc of the container failed',
          'Run the command again.',
        )
      return JSON.parse(stdout)
    }),
    audits: once(async () => audits(docker, (await container()).Id)),
    async askHost(which) {
      // Whoever else holds the port while the gateway is away would be handed the token.
      if (!publishes(await container(), answers.port))
        throw new ToolError(
          'port_not_ours',
          `the container does not publish 127.0.0.1:${answers.port}`,
          'Run create-openclaw-secure . again.',
        )
      return askFromHost(answers, AUTH_PATH, which === 'right' ? await token() : undefined)
    },
    askWrong: once(async () => askFromInside(docker, (await container()).Id, sources.wrongToken)),
    addresses: () =>
      Object.values(networkInterfaces())
        .flat()
        .filter(address => address !== undefined)
        .filter(address => !address.internal && !(address.family === 'IPv6' && address.scopeid !== 0))
        .map(address => address.address),
    reach,
    neighbourRule: once(() => new NeighbourRule(run, bridgeNetwork(answers.name).bridge).isInstalled()),
    logs: once(() => new Compose(searching, layout.root, answers.name).logs(5000)),
  }
}

/** Paths inside one deployment, for messages. */
export function inDeployment(world: Pick<World, 'layout'>, path: string): string {
  return resolve(world.layout.root, path)
}

/** A value deep inside parsed YAML or JSON; undefined where the path ends early. */
export function at(tree: unknown, ...path: string[]): unknown {
  return path.reduce<unknown>(
    (node, key) => (typeof node === 'object' && node !== null ? Reflect.get(node, key) : undefined),
    tree,
  )
}

/** A copy of a tree with one value changed: what sabotage is made of. */
export function altered(
  tree: Record<string, unknown>,
  path: readonly [string, ...string[]],
  value: unknown,
): Record<string, unknown> {
  const [key, ...rest] = path
  const [next, ...further] = rest
  const inner = tree[key]
  return { ...tree, [key]: next === undefined ? value : altered(record(inner), [next, ...further], value) }
}

/** A mapping, or an empty one where the tree has something else. */
export function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? { ...value } : {}
}

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined
  return () => (result ??= read())
}

function reach(address: string, port: number): Promise<'open' | 'refused' | 'silent'> {
  return new Promise(done => {
    const socket = connect({ host: address, port, timeout: 2000 })
    const end = (answer: 'open' | 'refused' | 'silent') => {
      socket.destroy()
      done(answer)
    }
    socket.once('connect', () => end('open'))
    socket.once('timeout', () => end('silent'))
    socket.once('error', (error: NodeJS.ErrnoException) =>
      end(error.code === 'ECONNREFUSED' ? 'refused' : 'silent'),
    )
  })
}

// Three looks within a second, and only who is there in all three counts, as it was last: what Docker is just putting
// into the container (another check's exec, the health check) has its restrictions only a moment later.
const PROCESSES = `const fs=require('fs');const look=()=>{const m=new Map();for(const p of fs.readdirSync('/proc').filter(n=>/^\\d+$/.test(n)))try{m.set(p,fs.readFileSync('/proc/'+p+'/status','utf8'))}catch{}return m};const a=look();setTimeout(()=>{const b=look();setTimeout(()=>{for(const [p,s] of look())if(a.has(p)&&b.has(p))console.log(JSON.stringify([p,s]))},600)},300)`
const CGROUP = `const fs=require('fs');const r=(...p)=>{for(const f of p){try{return fs.readFileSync(f,'utf8').trim()}catch{}}return null};const c='/sys/fs/cgroup/';console.log(JSON.stringify({v2:r(c+'cgroup.controllers')!==null,memory:r(c+'memory.max',c+'memory/memory.limit_in_bytes'),pids:r(c+'pids.max',c+'pids/pids.max'),max:r(c+'cpu.max'),quota:r(c+'cpu/cpu.cfs_quota_us',c+'cpu,cpuacct/cpu.cfs_quota_us'),period:r(c+'cpu/cpu.cfs_period_us',c+'cpu,cpuacct/cpu.cfs_period_us')}))`
// The token comes through stdin and is looked for in every process that this user may read.
const SEARCH_PROC = `let t='';process.stdin.on('data',d=>t+=d).on('end',()=>{const fs=require('fs');const n={environ:0,cmdline:0,searched:0};for(const p of fs.readdirSync('/proc').filter(n=>/^\\d+$/.test(n)&&n!==String(process.pid)))for(const f of ['environ','cmdline'])try{if(fs.readFileSync('/proc/'+p+'/'+f,'latin1').includes(t))n[f]++;if(f==='environ')n.searched++}catch{}console.log(JSON.stringify(n))})`

function readProcesses({ code, stdout }: Finished): ProcessFacts[] {
  if (code !== 0)
    throw new ToolError(
      'exec_failed',
      'the container’s processes could not be listed',
      'Run the command again.',
    )
  return stdout
    .split('\n')
    .filter(line => line !== '')
    .map(line => {
      const [pid, status] = JSON.parse(line) as [string, string]
      const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1] ?? ''
      return {
        pid: Number(pid),
        name: field('Name'),
        uid: Number(field('Uid')),
        caps: ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map(field),
        noNewPrivs: Number(field('NoNewPrivs')),
        seccomp: Number(field('Seccomp')),
      }
    })
}

function readCgroup({ code, stdout }: Finished): CgroupLimits {
  if (code !== 0)
    throw new ToolError(
      'exec_failed',
      'the container’s control groups could not be read',
      'Run the command again.',
    )
  const { v2, memory, pids, max, quota, period } = JSON.parse(stdout) as Record<string, string | null> & {
    v2: boolean
  }
  // v1 writes "no limit" as a number near 2^63.
  const limit = (text: string | null | undefined) =>
    text === null || text === undefined || text === 'max' || Number(text) > 2 ** 60 ? undefined : Number(text)
  const [allowed, every] = v2
    ? (max ?? 'max').split(' ')
    : [quota === '-1' ? 'max' : (quota ?? 'max'), period ?? '100000']
  return {
    version: v2 ? 2 : 1,
    memory: limit(memory),
    pids: limit(pids),
    cpus: allowed === 'max' ? undefined : Number(allowed) / Number(every),
  }
}
