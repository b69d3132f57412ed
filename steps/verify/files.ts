import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { parse } from 'yaml'
import type { Answers } from '../../src/deployment/answers.ts'
import { lookAt, repositoryAbove } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import { searchFolder } from '../../src/deployment/search.ts'
import { SERVICE } from '../../src/docker/compose.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { ToolError } from '../../src/errors.ts'
import { lookAtDisk } from '../../src/gateway/disk.ts'
import { allSecretNamesOf, GATEWAY_TOKEN } from '../../src/gateway/policy.ts'
import { parseCommentedJson } from '../../src/json.ts'
import type { Journal } from '../../src/procedure/journal.ts'
import type { Suppression } from '../../src/procedure/step.ts'
import { scheduleState } from '../../src/schedule/schedule.ts'
import type { Secret } from '../../src/secret.ts'
import { keptCredential } from '../../src/stores/credential.ts'
import type { SecretStore, StoredSecret } from '../../src/stores/store.ts'
import { gatewayService, otherServices } from './service.ts'
import { record } from './tree.ts'
import { type FileWorld, NotApplicable, once } from './world.ts'

export interface FileSources {
  layout: Layout
  answers: Answers
  suppressions: readonly Suppression[]
  store: Pick<SecretStore, 'load'>
  /** What the store says of a secret, where that is something else than {@link store} says. */
  stored?(name: string): Promise<StoredSecret | undefined>
  journal: Journal
  run: ProcessRunner
  now: Date
}

/** The files of a deployment that this tool made. */
export function ownFiles(sources: FileSources): FileWorld {
  const { layout, answers, suppressions, store, journal, run, now } = sources
  // Each is asked for once: a store may be far away, and may count the questions.
  const loaded = new Map<string, Promise<StoredSecret | undefined>>()
  const load = (name: string) => {
    const known = loaded.get(name) ?? store.load(name)
    loaded.set(name, known)
    return known
  }
  const secrets = once(async () => {
    const found = new Map<string, Secret>()
    for (const name of allSecretNamesOf(answers)) {
      const value = (await load(name))?.current?.value
      if (value !== undefined) found.set(name, value)
    }
    const opener = keptCredential(layout, answers)
    return opener === undefined ? found : found.set('store_credential', opener)
  })
  const composition = once(async () =>
    record(parse(readFileSync(layout.compose, 'utf8'), { prettyErrors: false })),
  )
  const service = once(async () => {
    const found = gatewayService(await composition())
    if (found === undefined) throw new Error('docker-compose.yml has no gateway service')
    return found
  })
  return {
    ...anyFiles(layout, run, secrets),
    own: answers,
    now,
    suppressions,
    async token() {
      const value = (await secrets()).get(GATEWAY_TOKEN)
      if (value !== undefined) return value
      throw new ToolError('no_token', 'the store has no gateway token', 'Run create-openclaw-secure . again.')
    },
    secrets,
    stored: sources.stored ?? load,
    policy: once(async () => record(parseCommentedJson(readFileSync(layout.configFile, 'utf8')))),
    service,
    companions: once(async () => otherServices(await composition(), SERVICE)),
    profile: once(async () => profileOf((await service()).securityOpt, layout)),
    // Whoever looks is whose scheduler can be asked.
    schedule: once(() => scheduleState(layout, { run, uid: process.getuid?.() ?? 0 }, now)),
    journal: () => journal.read(),
    chain: () => journal.verifyChain(),
  }
}

/** What is looked at in the same way whoever made the deployment. */
export function anyFiles(
  layout: Layout,
  run: ProcessRunner,
  secrets: () => Promise<ReadonlyMap<string, Secret>>,
): Pick<
  FileWorld,
  'layout' | 'file' | 'text' | 'names' | 'leaksInState' | 'disk' | 'workDisk' | 'tracked' | 'addable'
> {
  const git = (args: readonly string[], input?: string) =>
    run('git', ['-C', layout.root, ...args], { deadline: 15_000, ...(input === undefined ? {} : { input }) })
  // Looked for here first: a machine without git has no repository either.
  const inRepository = () => repositoryAbove(layout.root) !== undefined
  return {
    layout,
    file(path) {
      const found = lookAt(path)
      if (found === undefined) return undefined
      const kind = found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other'
      const { mode, uid, nlink, mtime } = found
      return { mode: Number(mode) & 0o7777, uid: Number(uid), links: Number(nlink), modified: mtime, kind }
    },
    text: async path => readFileSync(path, 'utf8'),
    names: folder => readdirSync(folder),
    leaksInState: once(async () => searchFolder(layout.state, [...(await secrets()).values()])),
    disk: once(async () => {
      if (lookAt(layout.state) === undefined) throw new NotApplicable('there is no state folder')
      return lookAtDisk(layout.state)
    }),
    workDisk: once(async () =>
      lookAt(layout.sandboxWork) === undefined ? undefined : lookAtDisk(layout.sandboxWork),
    ),
    tracked: once(async () => {
      if (!inRepository()) return 'no repository'
      const { code, stdout, stderr } = await git(['ls-files', '-z'])
      if (code === 0) return stdout.split('\0').filter(line => line !== '')
      throw gitUnknown(stderr)
    }),
    async addable(paths) {
      if (!inRepository()) return withoutRepository(layout, paths)
      const { code, stdout, stderr } = await git(['check-ignore', '--stdin', '--no-index'], paths.join('\n'))
      if (code > 1) throw gitUnknown(stderr)
      const ignored = new Set(stdout.split('\n'))
      return paths.filter(path => !ignored.has(path))
    },
  }
}

/** The text of the profile that a `seccomp:PATH` names, relative to the Compose file; undefined when none is named. */
export function profileOf(securityOpt: readonly string[], layout: Layout): string | undefined {
  const named = securityOpt.find(option => /^seccomp[:=]/.test(option))?.replace(/^seccomp[:=]/, '')
  if (named === undefined || named === 'unconfined') return undefined
  return readFileSync(resolve(layout.root, named), 'utf8')
}

/** Before there is a repository, the ignore file is read as it will be: our rules are whole folders. */
function withoutRepository(layout: Layout, paths: readonly string[]): string[] {
  const path = resolve(layout.root, '.gitignore')
  const rules = lookAt(path) === undefined ? [] : readFileSync(path, 'utf8').split('\n')
  const folders = rules.map(rule => rule.trim()).filter(rule => /^\/?[\w.-]+\/?$/.test(rule))
  return paths.filter(one => !folders.some(folder => one.startsWith(`${folder.replaceAll('/', '')}/`)))
}

function gitUnknown(stderr: string): ToolError {
  return new ToolError(
    'git_unknown',
    `git could not say: ${stderr.trim().split('\n')[0] ?? ''}`,
    'Run git status in the deployment folder.',
  )
}
