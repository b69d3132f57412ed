import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import type { Answers } from '../deployment/answers.ts'
import { render } from '../deployment/render.ts'
import type { Docker, ImageFacts } from '../docker/engine.ts'
import { ToolError, visible } from '../errors.ts'
import { gatewayDockerDockerfile, gatewayDockerfile, sandboxDockerfile } from './sandbox.ts'

/** Where OpenClaw publishes its image (its Docker install page). */
const OFFICIAL = 'ghcr.io/openclaw/openclaw'

/**
 * The image a deployment runs. `pinned` names exact bytes: `repository@sha256:…` from a registry, or the local image
 * id where there is no registry. `label` is what a person calls it.
 */
export interface GatewayImage {
  pinned: string
  label: string
}

/** What the answers name, before the engine has resolved it. */
export function imageLabel(
  answers: Pick<Answers, 'image' | 'version' | 'imageReference' | 'baseImage'>,
): string {
  if (answers.image === 'official') return `${OFFICIAL}:${answers.version}`
  if (answers.image === 'reference') return answers.imageReference
  return `create-openclaw-secure/openclaw:${answers.version}-${digest(dockerfile(answers))}`
}

/** The Dockerfile of `--build`. */
export function dockerfile(answers: Pick<Answers, 'version' | 'baseImage'>): string {
  // No JSON here: a Dockerfile takes both as they are, and the grammar of both admits no white space or quote.
  return render('Dockerfile.hbs', { base: answers.baseImage, package: `openclaw@${answers.version}` }, 'text')
}

/** An image that is built here, from a Dockerfile of ours. */
export interface Recipe {
  label: string
  dockerfile: string
  /** Whether npm works in it, and is to have this machine's settings: nobody else's image is handed them. */
  npm?: true
}

/** The image of the two at the border: Squid, which lets named hosts through, and HAProxy, which publishes the port. */
export function borderRecipe(answers: Pick<Answers, 'companionBase'>): Recipe {
  const dockerfile = render('border/Dockerfile.hbs', { base: answers.companionBase }, 'text')
  return { label: `create-openclaw-secure/border:${digest(dockerfile)}`, dockerfile }
}

/** A name a builder takes: an id of a local image is none, so it is given one first ({@link nameForBuilder}). */
function builderName({ pinned }: GatewayImage): string {
  return pinned.includes('@')
    ? pinned
    : `create-openclaw-secure/from:${pinned.replace(/^sha256:/, '').slice(0, 12)}`
}

/** Gives a local image the name by which it is built upon. */
export async function nameForBuilder(docker: Docker, image: GatewayImage): Promise<void> {
  if (!image.pinned.includes('@'))
    await docker.call(['tag', image.pinned, builderName(image)], { deadline: 20_000 })
}

/** The gateway's image with a client on top, by which it reaches its sandbox: ssh, or Docker's. */
export function gatewaySshRecipe(
  image: GatewayImage,
  user: string,
  client: Answers['agentSandbox'] = 'ssh',
): Recipe {
  // What an image says of itself is written into a Dockerfile: it has to be a user's name or number.
  if (!/^[A-Za-z0-9_.-]*(:[A-Za-z0-9_.-]+)?$/.test(user))
    throw new ToolError(
      'image_not_openclaw',
      `${image.label} runs as ${visible(user)}, which is no user`,
      'Choose another --image.',
    )
  const recipe = client === 'ssh' ? gatewayDockerfile : gatewayDockerDockerfile
  const dockerfile = recipe(builderName(image), user === '' ? '0' : user)
  return {
    label: `create-openclaw-secure/openclaw-${client}:${digest(`${image.pinned}\n${dockerfile}`)}`,
    dockerfile,
  }
}

/** The image in which a coding agent's commands run. */
export function sandboxRecipe(
  answers: Pick<Answers, 'companionBase' | 'agentPrograms' | 'agentPackages'>,
): Recipe {
  const dockerfile = sandboxDockerfile(answers.companionBase, answers.agentPrograms, answers.agentPackages)
  return { label: `create-openclaw-secure/sandbox:${digest(dockerfile)}`, dockerfile }
}

/** The tag follows from what is built, so that an unchanged Dockerfile is not built again. */
function digest(recipe: string): string {
  return createHash('sha256').update(recipe).digest('hex').slice(0, 12)
}

/** The pinned name of an image the engine has. */
export function pin(label: string, image: ImageFacts): GatewayImage {
  const repository = label.replace(/@.*$/, '').replace(/:[^/:]*$/, '')
  const digest = image.RepoDigests?.find(candidate => candidate.startsWith(`${repository}@`))
  return { pinned: digest ?? image.Id, label }
}

/** The image if the engine has it already, else undefined. Never downloads and never builds. */
export async function localImage(docker: Docker, label: string): Promise<GatewayImage | undefined> {
  const found = await docker.image(label)
  return found === undefined ? undefined : pin(label, found)
}

/** Downloads or builds what is missing and pins it. Errors: `image_not_found`, `image_pull_failed`, `image_build_failed`. */
export async function obtainImage(
  docker: Docker,
  answers: Pick<Answers, 'image' | 'version' | 'imageReference' | 'baseImage'>,
  options: { signal: AbortSignal; onLine: (line: string) => void },
): Promise<GatewayImage> {
  const label = imageLabel(answers)
  const present = await localImage(docker, label)
  if (present !== undefined) return present
  if (answers.image === 'build')
    return obtainBuilt(docker, { label, dockerfile: dockerfile(answers), npm: true }, options)
  await docker.pull(label, options)
  return expectImage(docker, label)
}

/** Builds an image of ours where the engine does not have it, and pins it. Errors: `image_build_failed`. */
export async function obtainBuilt(
  docker: Docker,
  recipe: Recipe,
  options: { signal: AbortSignal; onLine: (line: string) => void },
): Promise<GatewayImage> {
  const present = await localImage(docker, recipe.label)
  if (present !== undefined) return present
  await build(docker, recipe, options)
  return expectImage(docker, recipe.label)
}

async function expectImage(docker: Docker, label: string): Promise<GatewayImage> {
  const obtained = await localImage(docker, label)
  if (obtained !== undefined) return obtained
  throw new ToolError(
    'image_not_found',
    `the engine has no image ${label}`,
    'Check that nothing removes images on this machine, then run the command again.',
  )
}

/**
 * Builds with this machine's npm settings and certificates as build secrets, on its network: behind a company proxy
 * an npm inside the build would otherwise retry for many minutes and fail without saying why.
 */
async function build(
  docker: Docker,
  { label, dockerfile, npm }: Recipe,
  options: { signal: AbortSignal; onLine: (line: string) => void },
): Promise<void> {
  const npmrc = `${homedir()}/.npmrc`
  const authorities = process.env.NODE_EXTRA_CA_CERTS ?? ''
  const secrets = [
    ...(npm === true && existsSync(npmrc) ? ['--secret', `id=npmrc,src=${npmrc}`] : []),
    ...(npm === true && existsSync(authorities) ? ['--secret', `id=ca,src=${authorities}`] : []),
  ]
  const { code, stderr } = await docker.call(
    ['build', '--network', 'host', '--progress', 'plain', ...secrets, '--tag', label, '-'],
    // A CLI before 23 builds with BuildKit, and so with secrets, only when told to.
    { input: dockerfile, deadline: 20 * 60_000, environment: { DOCKER_BUILDKIT: '1' }, ...options },
  )
  if (code === 0) return
  const tail = stderr.trim().split('\n').slice(-12).join('\n')
  const hint = /SELF_SIGNED|UNABLE_TO_GET_ISSUER|certificate/i.test(stderr)
    ? 'npm inside the build does not trust your proxy: point NODE_EXTRA_CA_CERTS at its CA certificate and run again.'
    : /exit code: 124/.test(stderr)
      ? 'A download did not finish within 15 minutes. Check the network, the proxy settings in ~/.npmrc, and NODE_EXTRA_CA_CERTS.'
      : /not found|pull access denied|failed to resolve/i.test(stderr)
        ? 'Check --base-image, --companion-base and --openclaw-version.'
        : /this image has no program/.test(stderr)
          ? 'Name a package that has it with --agent-package, or take it out of agent.programs in deployment.yaml.'
          : 'Read the lines above, correct the cause and run the same command again.'
  throw new ToolError('image_build_failed', `the image could not be built:\n${tail}`, hint)
}
