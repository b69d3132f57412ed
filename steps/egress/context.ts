import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import type { Answers } from '../../src/deployment/answers.ts'
import { borderFiles } from '../../src/deployment/border.ts'
import { type FileOwner, readIfPresent } from '../../src/deployment/files.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import { profilesOf } from '../../src/deployment/plan.ts'
import type { Compose } from '../../src/docker/compose.ts'
import type { Docker } from '../../src/docker/engine.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import type { Journal } from '../../src/procedure/journal.ts'
import { writeAnswers } from '../../src/wizard/answers-file.ts'
import { readDeployment } from '../../src/wizard/saved.ts'
import { renderedAnswers } from '../move/context.ts'

/** A change of the way out: the deployment, what is asked for, and how the proxy should answer afterwards. */
export interface EgressContext {
  layout: Layout
  /** As they were rendered last: of what is running. */
  answers: Answers
  docker: Docker
  compose: Compose
  journal: Journal
  /** Whether there is an engine to talk to: always, here. The reload is also a step of setup. */
  launch: true
  /** Who must own what the proxy reads; undefined: whoever runs this. */
  owner(): FileOwner | undefined
  now(): Date
  change: HostChange
  /** For how long it is opened, in seconds. */
  seconds: number
  expected: readonly Expectation[]
}

/** Words to put on the list, or to take from it. */
export interface HostChange {
  allow: readonly string[]
  deny: readonly string[]
}

/** What the proxy has to say about a target: one of these reasons. */
export interface Expectation {
  target: string
  reasons: readonly string[]
}

/** A file as it is to be. */
export interface NewFile {
  path: string
  content: string
  mode: number
  owner?: FileOwner | undefined
}

/** The reason for which the proxy refuses a name that is on the list: rules about addresses come before it. */
export const NOT_PUBLIC = 'leads-to-an-address-that-is-not-public'

type Needs = Pick<EgressContext, 'layout' | 'change' | 'owner'>

/** The list after the change: what was there stays in its place. */
export function changedHosts(present: readonly string[], { allow, deny }: HostChange): string[] {
  return [...new Set([...present, ...allow])].filter(host => !deny.includes(host))
}

/**
 * The files that are to be others, in the order in which they are written: first what says what is wanted, so that a run
 * that was killed leaves rules that the same command, or setup, completes. What somebody has edited in deployment.yaml and
 * not set up yet stays as it is. Errors: `edited`, `egress_outdated`.
 */
export function filesToWrite({ layout, change, owner }: Needs): NewFile[] {
  const rendered = readIfPresent(renderedAnswers(layout)) ?? ''
  const present = readIfPresent(layout.answers) ?? ''
  const before = readDeployment(rendered, layout.root).answers
  const after = { ...before, egressHosts: changedHosts(before.egressHosts, change) }
  const rules = borderFiles(after)['squid.conf'] ?? ''
  expectOurs(layout, before, rules)
  const file = (path: string, content: string, mode: number) => ({ path, content, mode })
  const wanted: NewFile[] = [
    file(layout.answers, withHosts(present, change, layout.root), 0o644),
    file(renderedAnswers(layout), withHosts(rendered, change, layout.root), 0o600),
    { ...file(rulesOf(layout), rules, 0o400), owner: owner() },
    file(resolve(layout.base, 'border/squid.conf'), rules, 0o600),
  ]
  return wanted.filter(({ path, content }) => readIfPresent(path) !== content)
}

/** What the proxy reads. */
export function rulesOf({ border }: Pick<Layout, 'border'>): string {
  return resolve(border, 'squid.conf')
}

/** When and until when it is open: there only while it is. */
export function openingOf({ border }: Pick<Layout, 'border'>): string {
  return resolve(border, 'open-until')
}

/** A `deployment.yaml` with the change in it; as the person wrote it, where it says so already. */
function withHosts(text: string, change: HostChange, root: string): string {
  const { answers, suppressions } = readDeployment(text, root)
  const egressHosts = changedHosts(answers.egressHosts, change)
  if (egressHosts.join(' ') === answers.egressHosts.join(' ')) return text
  return writeAnswers({ ...answers, egressHosts }, suppressions)
}

/** Nobody's own rules are overwritten, and no rules are written that the running proxy was not made for. */
function expectOurs(layout: Layout, before: Answers, after: string): void {
  const [present, base] = [
    readIfPresent(rulesOf(layout)),
    readIfPresent(resolve(layout.base, 'border/squid.conf')),
  ]
  // A run that was killed may have written the new rules, and not yet what they were rendered as.
  const ours = [undefined, base, borderFiles(before)['squid.conf'], after]
  if (!ours.includes(present))
    throw new ToolError(
      'edited',
      'edited since it was rendered: border/squid.conf',
      `Your changes would be lost. Compare with ${layout.base}/border/squid.conf, remove the file and run create-openclaw-secure . again.`,
      Exit.usage,
    )
  const made = createHash('sha256').update(profilesOf(before).squid).digest('hex')
  if (readIfPresent(layout.compose)?.includes(made) !== true)
    throw new ToolError(
      'egress_outdated',
      'the proxy was set up with other rules than this version of create-openclaw-secure writes',
      'Bring the deployment in line first: create-openclaw-secure .',
      Exit.usage,
    )
}
