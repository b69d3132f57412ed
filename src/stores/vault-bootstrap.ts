import * as z from 'zod'
import { Exit, ToolError, visible } from '../errors.ts'
import type { Redactor, Secret } from '../secret.ts'
import { denied, VaultClient, type VaultPlace } from './vault-client.ts'
import { newSecretId, policyText, rotationRights, WRAP_TTL } from './vault-secret-id.ts'

/** The one secret that the gateway itself may ever read in Vault: what it answers to. */
const GATEWAY_SECRET = 'gateway_token'

interface Call {
  path: string
  body: Readonly<Record<string, unknown>>
}

/** Something that is mounted unless it is there already, and what it has to be if it is. */
interface Mounting extends Call {
  /** Where all mounts of the kind are listed. */
  list: 'sys/mounts' | 'sys/auth'
  at: string
  is: string
  fits(mounted: Mounted): boolean
}

type Mounted = z.infer<typeof Mounted>
const Mounted = z.object({ type: z.string(), options: z.nullish(z.record(z.string(), z.string())) })
const Mounts = z.object({ data: z.record(z.string(), Mounted) })
const RoleId = z.object({ data: z.object({ role_id: z.string() }) })
const Policy = z.object({ data: z.object({ policy: z.string() }) })

/** What each policy is for, and what it says. A `+` stands for one segment: nothing below another deployment's path. */
function policiesOf(place: VaultPlace, role: string) {
  const { mount, path } = place
  return {
    rotator: `# Keeps the secrets of one OpenClaw deployment: compare and swap, no listing, no undelete.
path "${mount}/data/${path}/+" {
  capabilities = ["create", "read", "update"]
}
path "${mount}/metadata/${path}/+" {
  capabilities = ["create", "read", "update", "delete"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
path "sys/capabilities-self" {
  capabilities = ["update"]
}
# Rotates its own secret id: makes a new one, and destroys the others.
${policyText(rotationRights(place, role))}`,
    gateway: `# Reads the one secret that an OpenClaw gateway answers to. Nothing uses it unless you give it to somebody.
path "${mount}/data/${path}/${GATEWAY_SECRET}" {
  capabilities = ["read"]
}
`,
  }
}

/** Everything that is done, in order. What is shown and what is done come from here. */
function callsOf(place: VaultPlace) {
  const { mount, path, authMount, role } = place
  // They become paths and HCL, where nothing is escaped. The answers have been checked long before.
  for (const [what, value] of Object.entries({ mount, path, authMount, role }))
    if (!/^[\w.-]+(\/[\w-]+)*$/.test(value)) throw new Error(`${what} cannot be part of a path in Vault`)
  // After the path, which no two deployments share; for the usual path this is openclaw-DEPLOYMENT.
  const name = path.replaceAll('/', '-')
  const mountings: Mounting[] = [
    {
      list: 'sys/mounts',
      at: `${mount}/`,
      is: 'KV version 2',
      fits: ({ type, options }) => type === 'kv' && options?.version === '2',
      path: `sys/mounts/${mount}`,
      body: { type: 'kv', options: { version: '2' } },
    },
    {
      list: 'sys/auth',
      at: `${authMount}/`,
      is: 'AppRole',
      fits: ({ type }) => type === 'approle',
      path: `sys/auth/${authMount}`,
      body: { type: 'approle' },
    },
  ]
  const policies = Object.entries(policiesOf(place, name)).map(([kind, policy]) => ({
    path: `sys/policies/acl/${name}-${kind}`,
    body: { policy },
  }))
  const appRole = `auth/${authMount}/role/${name}`
  const roles: Call[] = [
    {
      path: appRole,
      body: {
        token_policies: [`${name}-rotator`],
        token_no_default_policy: true,
        token_type: 'service',
        token_ttl: '10m',
        token_max_ttl: '30m',
        bind_secret_id: true,
        secret_id_num_uses: 0,
      },
    },
    { path: `${appRole}/role-id`, body: { role_id: role } },
  ]
  return { mountings, policies, appRole, roles, secretId: `${appRole}/secret-id` }
}

/**
 * What {@link bootstrap} would do, for a person to read before anything is done: each call in order, and both policies
 * word for word. Contacts nobody.
 */
export function bootstrapPlan(place: VaultPlace): string {
  const { mountings, policies, appRole, roles, secretId } = callsOf(place)
  const json = (body: unknown) => JSON.stringify(body)
  const steps = [
    ...mountings.map(
      ({ list, at, is, path, body }) =>
        `GET ${list}; if nothing is at ${at}: POST ${path} ${json(body)}; anything there but ${is} stops it`,
    ),
    `GET ${appRole}/role-id and ${metadataOf(place)}: secrets there with a role of another id stop it`,
    ...policies.map(
      ({ path, body: { policy } }) => `POST ${path}\n${policy.trimEnd().replaceAll(/^/gm, '     ')}`,
    ),
    ...roles.map(({ path, body }) => `POST ${path} ${json(body)}`),
    `POST ${secretId}, wrapped for ${WRAP_TTL}: the answer is a token for one use, not the secret id`,
    'POST sys/wrapping/lookup, then sys/wrapping/unwrap: the secret id, which is kept here',
  ]
  const where = `Vault at ${visible(place.address)}${place.namespace === '' ? '' : `, namespace ${visible(place.namespace)}`}`
  return [
    `${where}, with the admin token, which is not kept:`,
    ...steps.map((step, index) => `${String(index + 1).padStart(2)}. ${step}`),
  ].join('\n')
}

/**
 * Makes Vault ready for one deployment: the engine, two policies of least privilege, an AppRole that is named after the path,
 * with `place.role` as its role id, and a new secret id, which it returns. Can be repeated; each time there is one
 * secret id more. Errors: those of the port; `store_denied` names what the admin token may not do; `store_occupied`.
 */
export async function bootstrap(
  place: VaultPlace,
  admin: Secret,
  redactor: Redactor,
  deadline?: number,
): Promise<Secret> {
  const { mountings, policies, appRole, roles, secretId } = callsOf(place)
  const client = new VaultClient(place, redactor, deadline)
  const token = redactor.learn(admin)
  const post = ({ path, body }: Call) =>
    client.get({ method: 'POST', path, body, token, until: client.until() }, z.unknown())
  for (const mounting of mountings) {
    const { list, at, is } = mounting
    const { data } = await client.get({ method: 'GET', path: list, token, until: client.until() }, Mounts)
    const mounted = data[at]
    if (mounted === undefined) await post(mounting)
    else if (!mounting.fits(mounted))
      throw denied(
        `at ${at} in Vault at ${client.where} is ${visible(mounted.type)}${mounted.type === 'kv' ? ' version 1' : ''}, and ${is} is needed`,
        list === 'sys/mounts'
          ? 'Name another mount with --vault-mount. What is there has been left alone.'
          : 'Name another mount with --vault-auth-mount. What is there has been left alone.',
      )
  }
  await expectFree(client, place, `${appRole}/role-id`, policies[0], token)
  for (const call of [...policies, ...roles]) await post(call)
  return newSecretId((request, shape) => client.get({ ...request, token }, shape), secretId, {
    client,
    place,
    redactor,
    until: client.until(),
  })
}

/** Every deployment has this one. */
function metadataOf({ mount, path }: VaultPlace): string {
  return `${mount}/metadata/${path}/gateway_token`
}

/**
 * A deployment of the same name on another machine has its secrets at the same path, and its role under the same name:
 * taking these over would lock it out. Its role has another id; ours, from a run that was cut short, has the same, or no
 * secret beside it. Errors: `store_occupied`.
 */
async function expectFree(
  client: VaultClient,
  place: VaultPlace,
  path: string,
  rotator: Call | undefined,
  token: Secret,
): Promise<void> {
  const look = async (at: string) => {
    const request = { method: 'GET', path: at, token, until: client.until() } as const
    const answer = await client.ask(request)
    if (answer.status !== 404 && answer.status >= 300) throw client.refusal(request, answer)
    return answer
  }
  const role = RoleId.safeParse((await look(path)).body).data?.data.role_id
  if (role === place.role) return
  // A role with rights elsewhere is somebody's, whatever its name is.
  const policy = Policy.safeParse((await look(rotator?.path ?? '')).body).data?.data.policy
  const isOurs = policy === undefined || policy === Policy.shape.data.safeParse(rotator?.body).data?.policy
  if (isOurs && (await look(metadataOf(place))).status === 404) return
  throw new ToolError(
    'store_occupied',
    `secrets are kept already at ${place.mount}/${place.path} in Vault at ${client.where}, by another deployment`,
    'Choose another place for this one (--vault-path), or give its role id and a secret id if it is this one (--vault-role, --store-credential).',
    Exit.usage,
  )
}
