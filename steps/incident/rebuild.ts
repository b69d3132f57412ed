import { resolve } from 'node:path'
import { parse } from 'yaml'
import * as z from 'zod'
import { readIfPresent } from '../../src/deployment/files.ts'
import { SERVICE } from '../../src/docker/compose.ts'
import { Docker, firstLine } from '../../src/docker/engine.ts'
import type { ProcessRunner } from '../../src/docker/process.ts'
import { Exit, ToolError } from '../../src/errors.ts'
import {
  borderRecipe,
  dockerfile,
  gatewaySshRecipe,
  imageLabel,
  localImage,
  nameForBuilder,
  obtainBuilt,
  type Recipe,
  sandboxRecipe,
} from '../../src/gateway/image.ts'
import type { Action, IncidentContext } from './context.ts'

/**
 * The clean images that everything starts from again. What is built here is built anew from nothing that lies on this
 * machine's builder; what comes from a registry is fetched by its digest, which no other bytes have.
 */
export const rebuildImages: Action = {
  id: 'image.rebuild',
  title: 'Build the images anew, or prove that they are the pinned ones',
  effect: 'contains',
  skip: ({ wishes }) => (wishes.rehearsal ? 'a drill builds no image' : undefined),
  async run(ctx, signal) {
    const { answers } = ctx
    const built = [
      ...(answers.image === 'build'
        ? [{ label: imageLabel(answers), dockerfile: dockerfile(answers), npm: true } as const]
        : []),
      borderRecipe(answers),
      ...(answers.posture === 'coding' ? [sandboxRecipe(answers)] : []),
    ]
    const saw: string[] = []
    if (answers.image !== 'build') saw.push(await expectPinned(ctx, signal))
    for (const recipe of built) saw.push(await buildAnew(ctx, recipe, signal))
    const client = answers.posture === 'coding' ? [await clientOf(ctx)] : []
    for (const recipe of client) saw.push(await buildAnew(ctx, recipe, signal))
    const names = [...built, ...client].map(recipe => nameInCase(ctx, recipe))
    // The usual names have them by now.
    await ctx.docker.call(['image', 'rm', ...names], { deadline: 20_000 })
    return { saw: saw.join('; '), facts: { images: saw.length } }
  },
}

/**
 * Under a name of this case first: the usual name goes over to the new image when there is one, and a run that was cut short
 * finds what it has built.
 */
async function buildAnew(ctx: IncidentContext, recipe: Recipe, signal: AbortSignal): Promise<string> {
  const { run, docker, say } = ctx
  const before = await localImage(docker, recipe.label)
  const anew = new Docker(withoutCache(run))
  const image = await obtainBuilt(
    anew,
    { ...recipe, label: nameInCase(ctx, recipe) },
    { signal, onLine: say },
  )
  await nameIt(docker, image.pinned, recipe.label)
  return `${recipe.label} is built anew: ${before?.pinned ?? 'none'} → ${image.pinned}`
}

function nameInCase({ case: { id } }: IncidentContext, { label }: Recipe): string {
  return `${label}-${id}`
}

/** The builder keeps what it has built: an intruder of this machine may have been at that as well. */
function withoutCache(run: ProcessRunner): ProcessRunner {
  return (file, [command, ...args], options) =>
    run(file, command === 'build' ? [command, '--no-cache', ...args] : [command ?? '', ...args], options)
}

/** The gateway's image with the client of its sandbox, on what has just been built or proven. */
async function clientOf({ answers, docker }: IncidentContext): Promise<Recipe> {
  const label = imageLabel(answers)
  const plain = await localImage(docker, label)
  if (plain === undefined) throw missing(label)
  await nameForBuilder(docker, plain)
  return gatewaySshRecipe(plain, (await docker.image(plain.pinned))?.Config.User ?? '', answers.agentSandbox)
}

const Rendered = z.object({ services: z.object({ [SERVICE]: z.object({ image: z.string() }) }) })

/**
 * The image that docker-compose.yml names by its bytes is on the engine, and is what the usual name means. A coding agent's
 * gateway is made from another one: which that was, the journal has.
 */
async function expectPinned(ctx: IncidentContext, signal: AbortSignal): Promise<string> {
  const { answers, docker, layout, journal, say } = ctx
  const label = imageLabel(answers)
  const rendered = Rendered.safeParse(parse(readIfPresent(resolve(layout.base, 'docker-compose.yml')) ?? ''))
  const obtained = journal.read().findLast(event => event.step === 'image.obtain')?.facts?.image
  const named = answers.posture === 'coding' ? obtained : rendered.data?.services[SERVICE].image
  if (typeof named !== 'string')
    throw new ToolError(
      'pin_unknown',
      'nothing says by which digest the image was pinned',
      'Compare .secure/base/docker-compose.yml with a copy of it, or build the image here: image.source in deployment.yaml.',
      Exit.interrupted,
    )
  const pinned = named
  const present = (await docker.image(pinned)) !== undefined
  if (!present && /^sha256:/.test(pinned)) throw missing(pinned)
  if (!present) await docker.pull(pinned, { signal, onLine: say })
  if ((await docker.image(pinned)) === undefined) throw missing(pinned)
  // Somebody may have given the name to another image.
  if (!label.includes('@') && (await localImage(docker, label))?.pinned !== pinned)
    await nameIt(docker, pinned, label)
  return `${label} is ${pinned}${present ? '' : ', downloaded anew'}`
}

/** Gives an image its usual name, and sees that it has it: what is started next is found by that. */
async function nameIt(docker: Docker, pinned: string, label: string): Promise<void> {
  const { stderr } = await docker.call(['tag', pinned, label], { deadline: 20_000 })
  const named = await docker.image(label)
  if (named !== undefined && named.Id === (await docker.image(pinned))?.Id) return
  throw new ToolError(
    'not_named',
    `${label} could not be made to mean ${pinned}: ${firstLine(stderr)}`,
    'Correct the cause and go on: create-openclaw-secure incident --resume',
    Exit.interrupted,
  )
}

function missing(image: string): ToolError {
  return new ToolError(
    'image_not_found',
    `the engine has no image ${image}`,
    'It comes from no registry by that name: load it (docker load) as it was.',
  )
}
