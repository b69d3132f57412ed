/** What the unit suites share: scratch folders and ordinary answers. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import type { Answers } from '../../src/deployment/answers.ts'
import type { Place } from '../../src/wizard/question.ts'
import { OPENCLAW_VERSION } from '../../src/wizard/questions.ts'

/** A folder of its own, removed when the test ends. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ocs-unit-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The value, or a failed test where there is none. */
export function some<T>(value: T | undefined | null, what = 'value'): T {
  if (value === undefined || value === null) throw new Error(`there is no ${what}`)
  return value
}

/** Milliseconds of the processor that some work takes: how many others wait for the processor is not what a test is about. */
export function computed(work: () => unknown): number {
  const began = process.cpuUsage()
  work()
  return process.cpuUsage(began).user / 1000
}

/** What a promise or a function throws; a failed test when it throws nothing. */
export async function thrown(run: () => unknown): Promise<Error> {
  try {
    await run()
  } catch (error) {
    if (error instanceof Error) return error
    throw new Error(`not an Error was thrown: ${String(error)}`)
  }
  throw new Error('nothing was thrown')
}

export const PLACE: Place = { directory: '/srv/my-gateway', timezone: 'UTC', exposedToNeighbours: false }

/** What --yes answers in {@link PLACE}. */
export const ANSWERS: Answers = {
  name: 'my-gateway',
  posture: 'chat',
  providers: [],
  model: '',
  agentSandbox: 'ssh',
  agentPrograms: [],
  agentPackages: [],
  image: 'official',
  version: OPENCLAW_VERSION,
  imageReference: '',
  baseImage: '',
  companionBase: 'debian:bookworm-slim',
  access: 'loopback',
  port: 18789,
  firewall: false,
  sshTarget: '',
  proxyHost: '',
  proxyCertificate: '',
  proxyKey: '',
  egress: 'closed',
  egressHosts: [],
  egressResolver: '',
  seccomp: 'fitted',
  apparmor: false,
  store: 'docker',
  seal: 'none',
  vaultAddress: '',
  vaultCa: '',
  vaultNamespace: '',
  vaultMount: '',
  vaultPath: '',
  vaultAuth: 'approle',
  vaultAuthMount: '',
  vaultRole: '',
  onepasswordVault: '',
  credentialFile: '',
  extraSecrets: [],
  memory: 2048,
  cpus: 2,
  pids: 256,
  stateLimit: 4096,
  timezone: 'UTC',
  contact: '',
}
