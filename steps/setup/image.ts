import {
  borderRecipe,
  type GatewayImage,
  gatewaySshRecipe,
  imageLabel,
  localImage,
  nameForBuilder,
  obtainBuilt,
  obtainImage,
  type Recipe,
  sandboxRecipe,
} from '../../src/gateway/image.ts'
import type { Step } from '../../src/procedure/step.ts'
import { must, type SetupContext } from './context.ts'

type Needs = Pick<SetupContext, 'answers' | 'docker' | 'launch' | 'found' | 'say'>

/** Looks for every image the deployment needs, and downloads nothing. */
export const lookForImage: Step<Needs> = {
  id: 'image.look',
  title: 'Look for the OpenClaw image',
  effect: 'reads',
  async run({ answers, docker, launch, found }) {
    const label = imageLabel(answers)
    const isCoding = answers.posture === 'coding'
    // Without an engine the name is all there is; the next run that launches pins it.
    const look = async (name: string) => (launch ? localImage(docker, name) : { pinned: name, label: name })
    const border = await look(borderRecipe(answers).label)
    if (border !== undefined) found.border = border
    const sandbox = isCoding ? await look(sandboxRecipe(answers).label) : undefined
    if (sandbox !== undefined) found.sandbox = sandbox
    const plain = await look(label)
    if (plain === undefined) return { saw: `${label} is not on this machine yet` }
    found.plain = plain
    const image = isCoding ? await look((await clientRecipe(answers, docker, plain, launch)).label) : plain
    if (image !== undefined) found.image = image
    return { saw: launch ? `${label} = ${plain.pinned}` : `${label}, not pinned: nothing is launched` }
  },
}

export const obtainTheImage: Step<Needs> = {
  id: 'image.obtain',
  title: 'Get the OpenClaw image and pin it',
  effect: 'writes',
  interruptible: true,
  skip: ({ found }) => (found.plain === undefined ? undefined : 'the engine has it'),
  async run({ answers, docker, found, say }, signal) {
    const image = await obtainImage(docker, answers, { signal, onLine: say })
    found.plain = image
    if (answers.posture !== 'coding') found.image = image
    return { saw: `${image.label} = ${image.pinned}`, facts: { image: image.pinned } }
  },
}

/** Squid and HAProxy come from the base's own distribution, which mends them. */
export const obtainTheBorder: Step<Needs> = {
  id: 'border.obtain',
  title: 'Build the image of the proxy and of the published port',
  effect: 'writes',
  interruptible: true,
  skip: ({ found }) => (found.border === undefined ? undefined : 'the engine has it'),
  async run({ answers, docker, found, say }, signal) {
    found.border = await obtainBuilt(docker, borderRecipe(answers), { signal, onLine: say })
    return { saw: named(must(found, 'border')) }
  },
}

/** Both ends of the way from the gateway to its sandbox: the pinned image with a client, and the sandbox's own. */
export const obtainTheSandbox: Step<Needs> = {
  id: 'sandbox.obtain',
  title: 'Build the image of the agents’ sandbox, and give the gateway a client for it',
  effect: 'writes',
  interruptible: true,
  skip({ answers, found }) {
    if (answers.posture !== 'coding') return 'no sandbox'
    return found.image === undefined || found.sandbox === undefined ? undefined : 'the engine has them'
  },
  async run({ answers, docker, launch, found, say }, signal) {
    const options = { signal, onLine: say }
    const plain = must(found, 'plain')
    await nameForBuilder(docker, plain)
    found.image = await obtainBuilt(docker, await clientRecipe(answers, docker, plain, launch), options)
    found.sandbox = await obtainBuilt(docker, sandboxRecipe(answers), options)
    return { saw: [found.image, found.sandbox].map(named).join(', ') }
  },
}

/** Whom the image runs as is to be restored after the client is installed. */
async function clientRecipe(
  { agentSandbox }: Pick<Needs['answers'], 'agentSandbox'>,
  docker: Needs['docker'],
  plain: GatewayImage,
  launch: boolean,
): Promise<Recipe> {
  const user = launch ? (await docker.image(plain.pinned))?.Config.User : undefined
  return gatewaySshRecipe(plain, user ?? '', agentSandbox)
}

function named({ label, pinned }: GatewayImage): string {
  return `${label} = ${pinned}`
}
