import { borderRecipe, imageLabel, localImage, obtainBuilt, obtainImage } from '../../src/gateway/image.ts'
import type { Step } from '../../src/procedure/step.ts'
import { must, type SetupContext } from './context.ts'

type Needs = Pick<SetupContext, 'answers' | 'docker' | 'launch' | 'found' | 'say'>

export const lookForImage: Step<Needs> = {
  id: 'image.look',
  title: 'Look for the OpenClaw image',
  effect: 'reads',
  async run({ answers, docker, launch, found }) {
    const label = imageLabel(answers)
    const border = borderRecipe(answers).label
    // Without an engine the name is all there is; the next run that launches pins it.
    const look = async (name: string) => (launch ? localImage(docker, name) : { pinned: name, label: name })
    const [image, beside] = await Promise.all([look(label), look(border)])
    if (beside !== undefined) found.border = beside
    if (image === undefined) return { saw: `${label} is not on this machine yet` }
    found.image = image
    return { saw: launch ? `${label} = ${image.pinned}` : `${label}, not pinned: nothing is launched` }
  },
}

export const obtainTheImage: Step<Needs> = {
  id: 'image.obtain',
  title: 'Get the OpenClaw image and pin it',
  effect: 'writes',
  interruptible: true,
  skip: ({ found }) => (found.image === undefined ? undefined : 'the engine has it'),
  async run({ answers, docker, found, say }, signal) {
    found.image = await obtainImage(docker, answers, { signal, onLine: say })
    const { label, pinned } = must(found, 'image')
    return { saw: `${label} = ${pinned}`, facts: { image: pinned } }
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
    const { label, pinned } = must(found, 'border')
    return { saw: `${label} = ${pinned}` }
  },
}
