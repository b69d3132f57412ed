import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { resolve } from 'node:path'
import { type ContainerFacts, type Docker, mountFlag, THROWAWAY_LABEL } from './engine.ts'
import type { Finished } from './process.ts'

/**
 * A container beside a running one, with the same image, user, capabilities, seccomp profile and limits. What would
 * disturb the running one is tried there: whatever happens to the sibling, the original does not notice.
 */
export interface SiblingJob {
  /** What runs: a program of the image and its arguments. */
  command: readonly [string, ...string[]]
  /** Folders and files of this machine it sees besides the image. */
  mounts: readonly { source: string; target: string; readOnly: boolean }[]
  /** Temporary folders besides the original's, as `--tmpfs` takes them. */
  tmpfs?: readonly string[]
  /** A Docker network by name; `none` for no network at all. */
  network: string
  environment: Readonly<Record<string, string>>
  /** Share of a busy CPU; the gateway has 1024. */
  shares: number
  /** Bytes, where the original's limit is not to be used. */
  memory?: number
  deadline: number
}

/** Runs a sibling to its end and removes it, also when its deadline passes. Errors: those of the process runner. */
export async function runSibling(
  docker: Docker,
  original: ContainerFacts,
  job: SiblingJob,
): Promise<Finished> {
  const name = `ocs-sibling-${randomBytes(6).toString('hex')}`
  const [entrypoint, ...args] = job.command
  const scratch = mkdtempSync(resolve(tmpdir(), 'ocs-sibling-'))
  try {
    const flags = [
      ...['run', '--rm', '--pull', 'never', '--name', name, '--label', THROWAWAY_LABEL, '--no-healthcheck'],
      ...likeness(original, job.memory, job.network, scratch),
      ...['--cpu-shares', String(job.shares), '--network', job.network, '--entrypoint', entrypoint],
      ...job.mounts.flatMap(mount => ['--mount', mountFlag(mount)]),
      ...(job.tmpfs ?? []).flatMap(mount => ['--tmpfs', mount]),
      ...Object.entries(job.environment).flatMap(([key, value]) => ['--env', `${key}=${value}`]),
      original.Image,
      ...args,
    ]
    return await docker.call(flags, { deadline: job.deadline })
  } catch (error) {
    // The command-line client is gone; the container it started may not be.
    await docker.discard(name)
    throw error
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** The flags that make a container like another one, from what the engine says of that one. */
function likeness(
  { Config, HostConfig: host }: ContainerFacts,
  memory: number | undefined,
  network: string,
  scratch: string,
): string[] {
  const flag = (name: string, values: readonly (string | number)[]) =>
    values.flatMap(value => [name, String(value)])
  const limit = memory ?? host.Memory
  return [
    ...flag('--user', Config.User === '' ? [] : [Config.User]),
    ...flag('--workdir', Config.WorkingDir === '' ? [] : [Config.WorkingDir]),
    ...flag('--cap-drop', host.CapDrop ?? []),
    ...flag('--cap-add', host.CapAdd ?? []),
    ...flag('--group-add', host.GroupAdd ?? []),
    // A network that is another container's has that one's name server as well.
    ...(network.startsWith('container:') ? [] : flag('--dns', host.Dns ?? [])),
    ...flag(
      '--security-opt',
      (host.SecurityOpt ?? []).map(option => asFile(option, scratch)),
    ),
    ...(host.Privileged ? ['--privileged'] : []),
    ...(host.ReadonlyRootfs ? ['--read-only'] : []),
    ...flag('--userns', host.UsernsMode === 'host' ? ['host'] : []),
    ...flag('--ipc', host.IpcMode === 'host' ? ['host'] : []),
    ...(limit > 0
      ? flag('--memory', [limit]).concat(
          '--memory-swap',
          String(memory === undefined && host.MemorySwap !== 0 ? host.MemorySwap : limit),
        )
      : []),
    ...flag('--pids-limit', (host.PidsLimit ?? 0) > 0 ? [host.PidsLimit ?? 0] : []),
    ...flag('--cpus', host.NanoCpus > 0 ? [host.NanoCpus / 1e9] : []),
    ...flag('--shm-size', host.ShmSize > 0 ? [host.ShmSize] : []),
    ...flag(
      '--ulimit',
      (host.Ulimits ?? []).map(({ Name, Soft, Hard }) => `${Name}=${Soft}:${Hard}`),
    ),
    ...flag(
      '--tmpfs',
      Object.entries(host.Tmpfs ?? {}).map(([path, options]) =>
        options === '' ? path : `${path}:${options}`,
      ),
    ),
  ]
}

/** The engine shows the loaded profile itself; the command line wants a file that holds it. */
function asFile(option: string, scratch: string): string {
  const profile = /^seccomp[=:](\{.*)$/s.exec(option)?.[1]
  if (profile === undefined) return option
  const path = resolve(scratch, 'seccomp.json')
  writeFileSync(path, profile, { mode: 0o600 })
  return `seccomp=${path}`
}
