import type { Answers } from '../../src/deployment/answers.ts'
import type { Layout } from '../../src/deployment/layout.ts'
import type { ContainerFacts, EngineInfo, NetworkFacts } from '../../src/docker/engine.ts'
import type { ProgramsSeen } from '../../src/gateway/approvals.ts'
import type { Disk } from '../../src/gateway/disk.ts'
import type { Attempted } from '../../src/gateway/inside.ts'
import type { ProxyAnswers } from '../../src/gateway/inside-proxy.ts'
import type { Judges } from '../../src/gateway/judges.ts'
import type { Status } from '../../src/gateway/probe.ts'
import type { Login } from '../../src/gateway/sandbox-login.ts'
import type { ChainState, JournalEvent } from '../../src/procedure/journal.ts'
import type { Suppression } from '../../src/procedure/step.ts'
import type { ScheduleState } from '../../src/schedule/schedule.ts'
import type { Secret } from '../../src/secret.ts'
import type { StoredSecret } from '../../src/stores/store.ts'
import type { Attack, Result } from '../attack/attack.ts'
import type { Service } from './service.ts'

/**
 * Everything checks look at. Each source is read at most once, when the first check asks, and shared; a source that
 * cannot be read throws, and every check that asked is `unknown`.
 */
export interface World extends FileWorld, LiveWorld {}

/** What can be known without an engine. */
export interface FileWorld {
  layout: Layout
  /** The answers this deployment was made from; undefined when somebody made it by hand. */
  own: Answers | undefined
  now: Date
  /** What somebody has accepted, from deployment.yaml. */
  suppressions: readonly Suppression[]
  /** The gateway token, as stored. */
  token(): Promise<Secret>
  /** Every secret of the deployment that is known here, by name. */
  secrets(): Promise<ReadonlyMap<string, Secret>>
  stored(name: string): Promise<StoredSecret | undefined>
  file(path: string): FileFacts | undefined
  text(path: string): Promise<string>
  names(folder: string): string[]
  /** Files anywhere below `state/` that hold a secret's value. `left`: so many could not be searched. */
  leaksInState(): Promise<{ searched: number; left: number; found: string[] }>
  /** What the state takes, and what the disk has left. */
  disk(): Promise<Disk>
  /** The same of what a coding agent has made; undefined where there is none. */
  workDisk(): Promise<Disk | undefined>
  /** openclaw.json. */
  policy(): Promise<Record<string, unknown>>
  /** The gateway's service in the Compose file. */
  service(): Promise<Service>
  /** The services beside it. */
  companions(): Promise<Service[]>
  /** The seccomp profile that the Compose file names; undefined when it names none. */
  profile(): Promise<string | undefined>
  /** The rotation that was scheduled, as it is now; undefined when none was asked for. */
  schedule(): Promise<ScheduleState | undefined>
  journal(): JournalEvent[]
  chain(): ChainState
  tracked(): Promise<string[] | 'no repository'>
  /** Of these paths, the ones a `git add --all` would add. */
  addable(paths: readonly string[]): Promise<string[]>
}

/** What only the engine and the running container can tell. */
export interface LiveWorld {
  engine(): Promise<EngineInfo>
  container(): Promise<ContainerFacts>
  /** Whether the container is still the one that {@link container} told of. */
  replaced(): Promise<boolean>
  /** Ours: what publishes the port, and the proxy. Errors: as of {@link container}; `NotApplicable` where they are not ours. */
  ingress(): Promise<ContainerFacts>
  egress(): Promise<ContainerFacts>
  sandbox(): Promise<ContainerFacts>
  /** The container that publishes the port: the ingress, or the gateway itself where somebody else made it. */
  published(): Promise<ContainerFacts>
  /** The gateway's networks. */
  networks(): Promise<NetworkFacts[]>
  /** The network of the published port. */
  front(): Promise<NetworkFacts>
  /** Everything the engine tells of the image, as text to be searched. */
  imageText(): Promise<string>
  /** Compose's hash of each service as the file has it now. */
  plannedHashes(): Promise<ReadonlyMap<string, string>>
  /** What is another here than when the seccomp profile was tried last, in words. */
  untried(): Promise<string[]>
  processes(): Promise<ProcessFacts[]>
  /** What AppArmor has on each process: "NAME (enforce)"; undefined where the kernel does not say. */
  labels(): Promise<(string | undefined)[]>
  cgroup(): Promise<CgroupLimits>
  mounts(): Promise<MountFacts[]>
  /** Soft and hard limit of the container's first process, by the kernel's name ("Max open files"). */
  ulimit(name: string): Promise<string>
  /** Address and port of every listening TCP socket in the container. */
  listening(): Promise<{ address: string; port: number }[]>
  searchProc(): Promise<{ environ: number; cmdline: number; searched: number }>
  denied(): Promise<Record<string, string>>
  attempted(): Promise<Attempts>
  /** Makes these attacks in a sibling, each time anew: steps/attack/sibling.ts. */
  attack(attacks: readonly Attack[]): Promise<Result[]>
  /** The same in a sibling of the sandbox, and the networks of that. */
  attackSandbox(attacks: readonly Attack[]): Promise<Result[]>
  sandboxNetworks(): Promise<NetworkFacts[]>
  /** What the proxy answered to what it has to refuse, asked from the gateway's container. */
  proxied(): Promise<ProxyAnswers>
  /** Whether the running proxy has read its rules as they are on the disk now. */
  rulesAreRead(): Promise<boolean>
  /** What can be started in the sandbox, against the list of what may be. */
  programs(): Promise<ProgramsSeen>
  /** What came of coming into the sandbox as the gateway does: who one is there, or why not. */
  entered(): Promise<Login>
  /** What another user than the gateway's can read of the secrets, by file. */
  stranger(): Promise<{ uid: number; seen: Record<string, string> }>
  judges(): Promise<Judges>
  /** The port on this machine. */
  port(): Promise<number>
  /** The port inside the container. */
  insidePort(): Promise<number>
  askHost(token: 'none' | 'right'): Promise<Status>
  askWrong(): Promise<Status>
  health(): Promise<Status>
  /** Posts to a path of the gateway with the right token. */
  post(path: string, body: object): Promise<Status>
  addresses(): string[]
  reach(address: string, port: number): Promise<Reach>
  neighbourRule(): Promise<boolean>
  logs(): Promise<string>
}

export interface FileFacts {
  mode: number
  uid: number
  links: number
  modified: Date
  kind: 'file' | 'folder' | 'other'
}

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

export interface MountFacts {
  type: string
  target: string
  options: string[]
}

/** What a sibling container tried, and how far it was told to go. */
export interface Attempts extends Attempted {
  /** Children it tried to start, and mebibytes it tried to use. */
  asked: { fork: number; hog: number }
  /** Mebibytes of the limit it ran under, where this machine has too little free memory for the gateway's own. */
  reducedTo?: number
}

export type Reach = 'open' | 'refused' | 'silent'

/** Thrown where a check has no subject: the finding is `skip`, with this reason. */
export class NotApplicable extends Error {}

/** Reads once, however many ask. */
export function once<T>(read: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined
  return () => (result ??= read())
}
