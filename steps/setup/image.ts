import { imageLabel, localImage, obtainImage } from '../../src/gateway/image.ts'
import type { Step } from '../../src/procedure/step.ts'
import { must, type SetupContext } from './context.ts'

type Needs = Pick<SetupContext, 'answers' | 'docker' | 'launch' | 'found' | 'say'>

export const lookForImage: Step<Needs> = {
  id: 'image.look',
  title: 'Look for the OpenClaw image',
  effect: 'reads',
  async run({ answers, docker, launch, found }) {
    const label = imageLabel(answers)
    // Without an engine the name is all there is; the next run that launches pins it.
    const image = launch ? await localImage(docker, label) : { pinned: label, label }
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
