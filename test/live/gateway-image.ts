/** Builds the live environment's images with the product's own Dockerfiles. Prints their names. */
import { Docker } from '../../src/docker/engine.ts'
import { processRunner } from '../../src/docker/process.ts'
import { borderRecipe, imageLabel, obtainBuilt, obtainImage } from '../../src/gateway/image.ts'
import { Redactor } from '../../src/secret.ts'
import { OPENCLAW_VERSION } from '../../src/wizard/questions.ts'

const baseImage = process.argv[process.argv.indexOf('--base') + 1]
if (baseImage === undefined || !process.argv.includes('--base'))
  throw new Error('usage: gateway-image --base IMAGE')
const answers = { image: 'build', version: OPENCLAW_VERSION, imageReference: '', baseImage } as const
const border = borderRecipe({ companionBase: baseImage })
if (process.argv.includes('--print')) process.stdout.write(`${imageLabel(answers)}\n${border.label}\n`)
else {
  const docker = new Docker(processRunner(new Redactor(), process.env))
  const options = {
    signal: AbortSignal.timeout(900_000),
    onLine: (line: string) => process.stderr.write(`${line}\n`),
  }
  for (const image of [
    await obtainImage(docker, answers, options),
    await obtainBuilt(docker, border, options),
  ])
    process.stdout.write(`${image.label}\n`)
}
