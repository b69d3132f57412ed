import { rmSync } from 'node:fs'
import { resolve } from 'node:path'
import * as z from 'zod'
import { readIfPresent, syncDirectory } from '../deployment/files.ts'
import type { Layout } from '../deployment/layout.ts'
import { Exit, ToolError } from '../errors.ts'
import { parseJson } from '../json.ts'
import { type DeploymentContainer, deploymentContainers } from './deployment-containers.ts'
import { type Docker, firstLine, unreachable } from './engine.ts'

/** How long one command to the engine may take. Milliseconds. */
const DEADLINE = 15_000

const Place = z.strictObject({
  /** What its container is called in evidence. */
  label: z.string(),
  container: z.string(),
  network: z.string(),
  /** Without the one that the engine makes of the container's id by itself. */
  aliases: z.array(z.string()),
  /** The address that was asked for; absent where the engine chose. */
  given: z.optional(z.string()),
  /** The address it had; empty in a container that did not run. */
  address: z.string(),
})
/** A container's place on a network, as exactly as it can be had again. */
export type Place = z.infer<typeof Place>

/** A container of a deployment, and where it is connected. */
export interface Member extends DeploymentContainer {
  /** The id of the image it was made from. */
  image: string
  places: Place[]
}

const Endpoint = z.object({
  Aliases: z._default(z.nullable(z.array(z.string())), []),
  IPAddress: z._default(z.string(), ''),
  IPAMConfig: z.optional(z.nullable(z.object({ IPv4Address: z.optional(z.string()) }))),
})
const Inspected = z.array(
  z.object({
    Id: z.string(),
    Image: z.string(),
    NetworkSettings: z.object({ Networks: z._default(z.nullable(z.record(z.string(), Endpoint)), {}) }),
  }),
)

/** Every container of a deployment, running or not, in the order of {@link deploymentContainers}. Errors: `engine_unreachable`. */
export async function membersOf(docker: Docker, project: string): Promise<Member[]> {
  const containers = await deploymentContainers(docker, project)
  if (containers.length === 0) return []
  const { stdout, stderr } = await docker.call(
    ['container', 'inspect', '--', ...containers.map(({ id }) => id)],
    { deadline: DEADLINE, cap: 64 * 1024 * 1024 },
  )
  const inspected = Inspected.safeParse(parseJson(stdout))
  if (!inspected.success) throw unreachable(stderr)
  // One that has gone in between is not among what is printed, and not on any network.
  return containers.flatMap(container => {
    const found = inspected.data.find(({ Id }) => Id === container.id)
    if (found === undefined) return []
    const { Image: image, NetworkSettings } = found
    const places = Object.entries(NetworkSettings.Networks ?? {}).map(([network, endpoint]) =>
      placeOf(container, network, endpoint),
    )
    return [{ ...container, image, places }]
  })
}

function placeOf(
  { id, label }: DeploymentContainer,
  network: string,
  { Aliases, IPAddress, IPAMConfig }: z.infer<typeof Endpoint>,
): Place {
  const given = IPAMConfig?.IPv4Address ?? ''
  return {
    ...{ label, container: id, network, address: IPAddress },
    aliases: [...new Set(Aliases ?? [])].filter(alias => alias !== id.slice(0, 12)).sort(),
    ...(given === '' ? {} : { given }),
  }
}

/**
 * Takes containers off their networks at once, whatever they are doing: a frozen one too, and one that is started anew stays
 * off them (measured). What has gone by itself is no error: whether it worked, a look at the places says. Errors: of the
 * process runner.
 */
export async function leave(docker: Docker, places: readonly Place[]): Promise<void> {
  await Promise.all(
    places.map(({ network, container }) =>
      docker.call(['network', 'disconnect', '--force', network, container], { deadline: DEADLINE }),
    ),
  )
}

/**
 * Puts containers back where they were. An engine that chooses takes the lowest address that is free (measured), so each has
 * the one it had. Errors: `network_not_joined`.
 */
export async function join(docker: Docker, places: readonly Place[]): Promise<void> {
  const byAddress = [...places].sort((a, b) => numberOf(a.address) - numberOf(b.address))
  for (const { network, container, aliases, given, label } of byAddress) {
    const { code, stderr } = await docker.call(
      [
        ...['network', 'connect', ...aliases.flatMap(alias => ['--alias', alias])],
        ...(given === undefined ? [] : ['--ip', given]),
        ...[network, container],
      ],
      { deadline: DEADLINE },
    )
    // A run that was cut short has done it.
    if (code !== 0 && !/already exists in network|already attached/i.test(stderr))
      throw new ToolError(
        'network_not_joined',
        `${label} could not be put back on ${network}: ${firstLine(stderr)}`,
        'Correct the cause and run the same command again: it goes on from here.',
      )
  }
}

function numberOf(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
}

/** Every place of these containers. */
export function placesOf(members: readonly Member[]): Place[] {
  return members.flatMap(({ places }) => places)
}

/** "openclaw-gateway on demo_inside". */
export function inWords({ label, network }: Pick<Place, 'label' | 'network'>): string {
  return `${label} on ${network}`
}

/** Whether two are the same place. The address counts where it was asked for. */
export function isSamePlace(a: Place, b: Place): boolean {
  return (
    a.container === b.container &&
    a.network === b.network &&
    a.given === b.given &&
    a.aliases.join() === b.aliases.join()
  )
}

const Lockdown = z.strictObject({
  version: z.literal(1),
  since: z.string(),
  /** Where everybody was that is to come back. */
  places: z.array(Place),
})
/** What is written down while a gateway is locked down: what unlocking needs. */
export type Lockdown = z.infer<typeof Lockdown>

export function lockdownFile({ own }: Pick<Layout, 'own'>): string {
  return resolve(own, 'lockdown.json')
}

/** Ends a lockdown: from here on everything may be changed again. */
export function forgetLockdown(layout: Pick<Layout, 'own'>): void {
  rmSync(lockdownFile(layout), { force: true })
  syncDirectory(layout.own)
}

/** The lockdown a deployment is under, or undefined. Errors: `lockdown_unreadable`. */
export function readLockdown(layout: Pick<Layout, 'own'>): Lockdown | undefined {
  const text = readIfPresent(lockdownFile(layout))
  if (text === undefined) return undefined
  const parsed = Lockdown.safeParse(parseJson(text))
  if (parsed.success) return parsed.data
  throw new ToolError(
    'lockdown_unreadable',
    `${lockdownFile(layout)} does not say where the containers were`,
    'Remove the file, then make the containers anew, connected as docker-compose.yml says: docker compose up --detach --force-recreate.',
    Exit.unknown,
  )
}
