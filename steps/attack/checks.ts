import { hasSandbox } from '../../src/deployment/answers.ts'
import type { NetworkFacts } from '../../src/docker/engine.ts'
import type { Severity, Threat } from '../../src/procedure/step.ts'
import { type Twin, unknown, type VerifyCheck } from '../verify/check.ts'
import type { World } from '../verify/world.ts'
import { type Attack, isShell, type Result } from './attack.ts'
import { attacks } from './index.ts'

interface Kind {
  threat: Threat
  line: number
  severity: Severity
  remedy: string
  weaken(twin: Twin): void
}

/** What every one of them is told to do. */
const AGAIN = 'Run create-openclaw-secure . again: the container is not as it was rendered.'

const KINDS: Record<string, Kind> = {
  credentials: {
    threat: 'credential leakage',
    line: 4,
    severity: 'critical',
    remedy: AGAIN,
    weaken: twin => twin.environment('OCS_ATTACK_TOKEN', 'not-a-real-secret'),
  },
  filesystem: {
    threat: 'filesystem access',
    line: 5,
    severity: 'high',
    remedy: AGAIN,
    weaken: twin => twin.service({ read_only: undefined }),
  },
  network: {
    threat: 'network exfiltration',
    line: 3,
    severity: 'high',
    remedy: 'Set up with --egress closed; with an open way out, treat everything the agent can read as sent.',
    weaken: twin => twin.wayOut(),
  },
  commands: {
    threat: 'command injection',
    line: 3,
    severity: 'high',
    remedy: AGAIN,
    weaken: twin => twin.wayOut(),
  },
  resources: {
    threat: 'resource exhaustion',
    line: 6,
    severity: 'high',
    remedy: AGAIN,
    weaken: twin => twin.service({ pids_limit: undefined }),
  },
  privileges: {
    threat: 'privilege escalation',
    line: 3,
    severity: 'critical',
    remedy: AGAIN,
    weaken: twin => twin.service({ cap_drop: undefined, security_opt: ['seccomp:unconfined'] }),
  },
}

/**
 * `verify --only 'attack.*'`: the attacks that a shell can make, made in a sibling of the gateway's container and, where the agent's
 * commands run in a sandbox, in one of that. They take a minute of both processors for each and fill what can be filled, so that
 * an ordinary verify leaves them out.
 */
export const attackChecks: readonly VerifyCheck[] = Object.entries(KINDS).map(([name, kind]) => {
  const { threat, line, severity, remedy, weaken } = kind
  return {
    id: `attack.${name}`,
    title: `Attacks are stopped: ${threat}`,
    line,
    threat,
    severity,
    kind: 'live',
    remedy,
    refs: { seed: 'Threat Model' },
    // Two siblings, one after the other: at once they would take twice the memory.
    deadline: 240_000,
    async run(world) {
      const made = attacks.filter(
        attack => attack.threat === threat && isShell(attack) && attack.residual === undefined,
      )
      const results = await doubted(await world.attack(made), world.networks)
      if (world.own === undefined || !hasSandbox(world.own)) return verdictOf(results)
      const inside = await inSandbox(world, made)
      return verdictOf([...results, ...inside.map(result => ({ ...result, where: 'the sandbox' }))])
    },
    sabotage: { weaken },
  }
})

/** Where the sandbox cannot be attacked, that is not known; what got through in the gateway did so all the same. */
async function inSandbox(world: World, made: readonly Attack[]): Promise<Result[]> {
  try {
    return await doubted(await world.attackSandbox(made), world.sandboxNetworks)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return made.map((attack, index) => ({
      ...{ attack, outcome: 'unknown', seen: index === 0 ? why : 'likewise' },
    }))
  }
}

/**
 * What aims at the world aims at this machine, and its own firewall may be what stopped it: where a network has a way out, that says
 * nothing of other machines. Errors: as of `networks`.
 */
async function doubted(
  results: readonly Result[],
  networks: () => Promise<NetworkFacts[]>,
): Promise<Result[]> {
  const isDoubtful = ({ attack, outcome }: Result) =>
    outcome === 'stopped' && attack.needs?.includes('OUTSIDE') === true
  if (!results.some(isDoubtful)) return [...results]
  const open = (await networks()).find(network => !network.Internal)
  if (open === undefined) return [...results]
  const why = `${open.Name} has a way out, and it may have been this machine’s own firewall`
  return results.map(result =>
    isDoubtful(result)
      ? { ...result, outcome: 'unknown', seen: result.seen === '' ? why : `${result.seen}; ${why}` }
      : result,
  )
}

/** One judgement of many results. What has no target here is named, and is neither a pass nor a failure. */
export function verdictOf(results: readonly Result[]) {
  const name = ({ attack, where }: Result) => (where === undefined ? attack.id : `${attack.id} in ${where}`)
  const of = (list: readonly Result[]) => list.map(one => `${name(one)} (${one.seen})`).join(', ')
  const through = results.filter(result => result.outcome === 'through')
  const aimless = results.filter(result => /^not tried: nothing here/.test(result.seen))
  const unseen = results.filter(result => result.outcome === 'unknown' && !aimless.includes(result))
  const stopped = results.length - through.length - aimless.length - unseen.length
  const evidence = [
    `${results.length - aimless.length} attacks in a container with the same image, user, profile, limits and network${results.some(one => one.where) ? ' as the gateway’s, and in one as the sandbox’s' : ''}: ${stopped} stopped`,
    ...(through.length > 0 ? [`got through: ${of(through)}`] : []),
    ...(unseen.length > 0 ? [`not known: ${of(unseen)}`] : []),
    ...(aimless.length > 0 ? [`with nothing to aim at here: ${aimless.map(name).join(', ')}`] : []),
  ].join('; ')
  if (through.length > 0) return { verdict: 'fail', evidence } as const
  return unseen.length > 0 || stopped === 0 ? unknown(evidence) : ({ verdict: 'pass', evidence } as const)
}
