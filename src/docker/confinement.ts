import { readFileSync } from 'node:fs'
import { INSIDE } from '../deployment/layout.ts'
import { render } from '../deployment/render.ts'
import { ToolError } from '../errors.ts'
import { type EngineInfo, firstLine } from './engine.ts'
import type { ProcessRunner } from './process.ts'

/** Where AppArmor loads profiles from at every boot, before the engine starts a container. */
const PROFILES = '/etc/apparmor.d'
/** The kernel's own list of what is loaded: "NAME (enforce)" a line. For root alone. */
const LOADED = '/sys/kernel/security/apparmor/profiles'

/**
 * Which mandatory access control the engine applies to its containers, from `docker info`. An engine that has none takes
 * `apparmor:NAME` without a word and applies nothing (measured with 20.10); a rootless one cannot load a profile.
 */
export function confinementOf(engine: Pick<EngineInfo, 'SecurityOptions'>): 'apparmor' | 'selinux' | 'none' {
  const has = (name: string) =>
    engine.SecurityOptions?.some(option => option.split(',').includes(`name=${name}`) || option === name) ===
    true
  if (has('selinux')) return 'selinux'
  return has('apparmor') && !has('rootless') ? 'apparmor' : 'none'
}

/**
 * What a bind mount of Compose needs beside `create_host_path`. On SELinux a container may only touch what is labelled
 * for it: `z` labels a folder for containers. (`Z` would be for one alone, and what is tried in a sibling could not be.)
 */
export function bindLabel(isLabelled: boolean): { selinux?: 'z' } {
  return isLabelled ? { selinux: 'z' } : {}
}

/** The name under which the kernel knows a deployment's profile. */
export function profileName(deployment: string): string {
  return `create-openclaw-secure-${deployment}`
}

/** What stands in `security_opt` for it. */
export function profileOption(deployment: string): string {
  return `apparmor:${profileName(deployment)}`
}

/** The text of a deployment's profile. Errors: `bad_name`, for a name that could mean more than a name. */
export function profileText(deployment: string): string {
  if (!/^[a-z][a-z0-9-]{0,38}[a-z0-9]$/.test(deployment))
    throw new ToolError(
      'bad_name',
      'the name of the deployment cannot be part of an AppArmor profile’s',
      'Choose another --name: 2 to 40 of a-z, 0-9 and -.',
    )
  return render(
    'apparmor/openclaw.hbs',
    { profile: profileName(deployment), state: INSIDE.state, cache: INSIDE.cache },
    'text',
  )
}

/** A deployment's AppArmor profile on this machine. Loading it is root's to do. */
export class AppArmorProfile {
  readonly name: string
  /** The file from which it is loaded after a reboot. */
  readonly path: string
  readonly #run: ProcessRunner
  readonly #loaded: string

  /** Other places than the machine's own are for tests. */
  constructor(run: ProcessRunner, deployment: string, places = { profiles: PROFILES, loaded: LOADED }) {
    this.name = profileName(deployment)
    this.path = `${places.profiles}/${this.name}`
    this.#run = run
    this.#loaded = places.loaded
  }

  /** Whether the kernel has it and refuses by it, not merely complains. Errors: `apparmor_unknown`. */
  isEnforced(): boolean {
    try {
      return readFileSync(this.#loaded, 'utf8').split('\n').includes(`${this.name} (enforce)`)
    } catch (error) {
      throw new ToolError(
        'apparmor_unknown',
        'the kernel’s list of AppArmor profiles cannot be read',
        'Run the command as root.',
        undefined,
        error,
      )
    }
  }

  /** Has AppArmor's own parser read a profile, without the kernel. Errors: `apparmor_invalid`, with its reason. */
  async check(text: string): Promise<void> {
    await this.#parse(['--skip-kernel-load'], text, 'apparmor_invalid', 'is refused by apparmor_parser')
  }

  /** Loads it, or replaces it in one step under the processes that have it. Errors: `apparmor_failed`. */
  async load(text: string): Promise<void> {
    await this.#parse(['--replace'], text, 'apparmor_failed', 'could not be loaded')
  }

  /** Takes it out of the kernel. Errors: `apparmor_failed`. */
  async unload(text: string): Promise<void> {
    await this.#parse(['--remove'], text, 'apparmor_failed', 'could not be removed')
  }

  /** The cache is left out: what counts is this text, and not a compiled form of some earlier one. */
  async #parse(verb: readonly string[], text: string, code: string, what: string): Promise<void> {
    const finished = await this.#run('apparmor_parser', [...verb, '--skip-cache'], {
      input: text,
      deadline: 60_000,
    })
    if (finished.code === 0) return
    throw new ToolError(
      code,
      `the AppArmor profile ${this.name} ${what}: ${reasonOf(finished.stderr)}`,
      'Leave --apparmor out, or correct the cause and run the same command again. Nothing else has changed.',
    )
  }
}

/** The parser complains of the kernel first, and says what is wrong with the profile afterwards. */
function reasonOf(stderr: string): string {
  const lines = stderr.split('\n')
  return firstLine(lines.find(line => /error|conflict/i.test(line)) ?? lines.join('\n'))
}
